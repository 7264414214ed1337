"""Networks, subnets and ports: where VIPs come from."""
