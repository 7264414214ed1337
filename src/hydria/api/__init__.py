"""The API controller: Octavia's REST API v2 (contract section 1).

A request is one transaction on the desired state; then the provider's worker is woken. What is asked of the
data plane is validated here and nowhere else.
"""
