"""The driver agent: where third-party provider drivers report, by octavia-lib's sockets."""
