"""The API's own description, an OpenAPI 3.1 document made from the declarations of the model.

:mod:`document` walks the routes of the application; :mod:`operations` says what each method of each class of
endpoint takes and answers; :mod:`schemas` derives the bodies, :mod:`queries` the query parameters of lists;
:mod:`answers` has the errors. A new resource behind an endpoint that is known here needs no line of its own;
a new class of endpoint needs its entry in ``operations.DESCRIBED``.
"""
