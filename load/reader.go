package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strconv"
	"sync/atomic"
	"time"
)

// readerTotals gather what became of all readers.
type readerTotals struct {
	pages   samples
	limited atomic.Int64
	errors  tally
}

// read pages through the log until ctx ends: a filter, its pages one after the other up to a few, the next filter.
func read(ctx context.Context, address, token string, n int, o pushOptions, rng *rand.Rand, totals *readerTotals) {
	client := clientFrom(loopback(reader, n))
	defer client.CloseIdleConnections()
	for ctx.Err() == nil {
		query, cursor := filter(rng, o), ""
		for range 1 + rng.IntN(5) {
			if cursor != "" {
				query.Set("cursor", cursor)
			}
			begun := time.Now()
			next, wait, err := page(ctx, client, address+"/v1/log?"+query.Encode(), token)
			switch {
			case ctx.Err() != nil:
				return
			case err != nil:
				totals.errors.add(err.Error())
			case wait > 0:
				totals.limited.Add(1)
			default:
				totals.pages.add(time.Since(begun))
			}
			if wait == 0 { // a person looks at what came
				wait = time.Duration(2 * rng.Float64() * float64(o.pause))
			}
			select {
			case <-ctx.Done():
				return
			case <-time.After(wait):
			}
			if cursor = next; cursor == "" {
				break
			}
		}
	}
}

// filter is what a person may ask for.
func filter(rng *rand.Rand, o pushOptions) url.Values {
	q := url.Values{"limit": {strconv.Itoa([]int{20, 50, 50, 100}[rng.IntN(4)])}}
	area := district(rng.IntN((o.devices + o.perDistrict - 1) / o.perDistrict))
	switch rng.IntN(6) {
	case 0:
		q.Set("region", area)
	case 1:
		q.Set("region", area[:len("35.24")])
	case 2:
		q.Set("kind", "site")
	case 3:
		q.Set("from", time.Now().Add(-time.Duration(rng.IntN(60))*time.Second).Format(time.RFC3339))
	case 4:
		q.Set("agency", "load")
		q.Set("region", area)
	}
	return q
}

// page reads one page. It returns where the next one begins, or how long the server asks to wait.
func page(ctx context.Context, client *http.Client, address, token string) (next string, wait time.Duration, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return "", 0, err
	}
	req.Header.Set("Authorization", "Bearer "+token)
	resp, err := client.Do(req)
	if err != nil {
		return "", 0, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	switch {
	case err != nil:
		return "", 0, err
	case resp.StatusCode == http.StatusTooManyRequests:
		seconds, err := strconv.Atoi(resp.Header.Get("Retry-After"))
		if err != nil || seconds < 1 {
			return "", 0, errors.New("429 without Retry-After")
		}
		return "", time.Duration(seconds) * time.Second, nil
	case resp.StatusCode != http.StatusOK:
		return "", 0, fmt.Errorf("HTTP %d", resp.StatusCode)
	}
	var p struct {
		Cursor string `json:"cursor"`
	}
	err = json.Unmarshal(body, &p)
	return p.Cursor, 0, err
}
