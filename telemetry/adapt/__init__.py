"""Proxies without a tracer take part in request paths: their access log, one JSON line a request over syslog, becomes spans.

The proxy itself reads the caller's trace context, makes ids and passes them on (``deploy/nginx``, ``deploy/haproxy``); what it
logs about a request is enough for an inbound span and its outbound attempts. ``edgepath adapt`` turns one into the other.
"""
