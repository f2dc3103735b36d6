package httpapi

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"testing"
	"time"
)

func TestLimiterForgetsTheOneNotSeenForLongest(t *testing.T) {
	now := time.Unix(1_700_000_000, 0)
	l := newLimiter(1, 2, 100)
	l.allow("old", now)
	l.allow("old", now)
	if l.allow("old", now) {
		t.Error("the third in a burst of two passes")
	}
	for i := range 10_000 {
		l.allow(fmt.Sprint(i), now)
		if i%50 == 0 && l.allow("old", now) {
			t.Fatal("one that is seen was forgotten")
		}
	}
	if len(l.byKey) != 100 || l.order.Len() != 100 {
		t.Errorf("%d keys, %d in order", len(l.byKey), l.order.Len())
	}
	if !l.allow("old", now.Add(time.Second)) {
		t.Error("a second later it may again")
	}
}

func TestNegativeRateIsNoLimit(t *testing.T) {
	l := newLimiter(-1, -10, 10)
	for range 1000 {
		if !l.allow("a", time.Unix(0, 0)) {
			t.Fatal("limited")
		}
	}
}

func TestAddressesAreToldApartByWhatOneCallerHas(t *testing.T) {
	for in, want := range map[string]string{
		"192.0.2.1": "192.0.2.1", "::ffff:192.0.2.1": "192.0.2.1",
		"2001:db8:1:2:3::4": "2001:db8:1:2::", "2001:db8:1:2:ffff::1": "2001:db8:1:2::", "fe80::1%eth0": "fe80::", "junk": "junk",
	} {
		if got := ipKey(in); got != want {
			t.Errorf("%s: %s, want %s", in, got, want)
		}
	}
}

func TestForwardedAddressCountsFromTrustedProxiesAlone(t *testing.T) {
	proxies := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("2001:db8::/32")}
	for _, c := range []struct {
		trusted    []netip.Prefix
		peer, want string
	}{
		{nil, "10.1.1.1:99", "10.1.1.1"},
		{proxies, "10.1.1.1:99", "198.51.100.7"},
		{proxies, "[2001:db8::5]:99", "198.51.100.7"},
		{proxies, "127.0.0.1:99", "127.0.0.1"},
		{proxies, "192.168.1.1:99", "192.168.1.1"},
	} {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.RemoteAddr = c.peer
		r.Header.Set("X-Forwarded-For", "203.0.113.9, 198.51.100.7")
		if got := extractor(c.trusted)(r); got != c.want {
			t.Errorf("peer %s, trusted %v: %s, want %s", c.peer, c.trusted, got, c.want)
		}
	}
}

func TestEncodingIsAgreedOn(t *testing.T) {
	for _, c := range []struct {
		accept, sent string
		want         bool
	}{
		{"", "", false}, {"", "zstd", true}, {"zstd", "", true}, {"gzip, ZSTD;q=0.5", "", true}, {"zstd;q=0", "", false}, {"zstd; q=0.0, gzip", "", false}, {"identity", "", false},
	} {
		r := httptest.NewRequest(http.MethodPost, "/", nil)
		r.Header.Set("Accept-Encoding", c.accept)
		r.Header.Set("Content-Encoding", c.sent)
		if got := wantsZstd(r); got != c.want {
			t.Errorf("%+v: %v", c, got)
		}
	}
}
