package main

import (
	"context"
	"net"
	"net/http"
	"time"
)

// Kinds of callers; each has a range of loopback addresses of its own.
const (
	monitor  = 2 + iota // reads the metrics
	honest              // the device that must not notice anything
	attacker            // hostile connections
	fleet               // devices of the load
	reader              // headquarters
)

// loopback returns the n-th address of a kind of callers.
func loopback(kind byte, n int) net.IP { return net.IPv4(127, kind, byte(n/250), byte(1+n%250)) }

// dialer dials from an address.
func dialer(from net.IP) *net.Dialer {
	return &net.Dialer{LocalAddr: &net.TCPAddr{IP: from}, Timeout: 30 * time.Second}
}

// transportFrom keeps connections of one caller.
func transportFrom(from net.IP) *http.Transport {
	d := dialer(from)
	return &http.Transport{
		DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			return d.DialContext(ctx, network, addr)
		},
		MaxIdleConnsPerHost: 2, IdleConnTimeout: 30 * time.Second, DisableCompression: true,
	}
}

func clientFrom(from net.IP) *http.Client {
	return &http.Client{Transport: transportFrom(from), Timeout: 2 * time.Minute}
}
