"""Provider drivers: how the API reaches whatever builds load balancers, by octavia-lib's interface."""
