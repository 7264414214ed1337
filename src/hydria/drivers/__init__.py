"""Outside systems behind small typed interfaces, each with a noop, an embedded and a production driver.

Drivers are loaded by name through entry points (:mod:`hydria.drivers.loading`); nobody asks what class a
driver is. Foreign errors are translated here, with their cause chained.
"""
