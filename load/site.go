package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/sambang-id/sambang/server"
)

// site is the server in a process of its own. It is safe for concurrent use.
type site struct {
	address string // host:port
	id      string // of the server
	cmd     *exec.Cmd
	metrics *http.Client

	mu  sync.Mutex // one order at a time
	in  io.WriteCloser
	out *bufio.Reader
}

// start begins a server's process on a folder.
func start(ctx context.Context, dir string, limits server.Limits) (*site, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	text, err := json.Marshal(limits)
	if err != nil {
		return nil, err
	}
	s := &site{cmd: exec.CommandContext(ctx, self, serveCommand, dir, string(text)), metrics: clientFrom(loopback(monitor, 0))} //nolint:gosec // this very program
	s.cmd.Stderr = os.Stderr
	if s.in, err = s.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := s.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := s.cmd.Start(); err != nil {
		return nil, err
	}
	s.out = bufio.NewReader(out)
	line, err := s.out.ReadString('\n')
	if err != nil {
		return nil, fmt.Errorf("the server's process said nothing: %w", s.cmd.Wait())
	}
	s.address = strings.TrimSpace(line)
	s.id, err = s.order("id")
	return s, err
}

func (s *site) url() string { return "http://" + s.address }

func (s *site) pid() int { return s.cmd.Process.Pid }

// stop ends the process and waits until its store is whole in its files.
func (s *site) stop() error {
	s.metrics.CloseIdleConnections()
	return errors.Join(s.in.Close(), s.cmd.Wait())
}

// order sends an order of words without spaces.
func (s *site) order(words ...string) (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, err := fmt.Fprintln(s.in, strings.Join(words, " ")); err != nil {
		return "", fmt.Errorf("order %s: %w", words[0], err)
	}
	line, err := s.out.ReadBytes('\n')
	if err != nil {
		return "", fmt.Errorf("order %s: the server's process has ended: %w", words[0], err)
	}
	var a answer
	if err := json.Unmarshal(line, &a); err != nil {
		return "", fmt.Errorf("order %s: %w", words[0], err)
	}
	if a.Error != "" {
		return "", fmt.Errorf("order %s: %s", words[0], a.Error)
	}
	return a.Value, nil
}

// gauge reads one sample of /metrics, by its name with labels.
func (s *site) gauge(ctx context.Context, name string) (float64, error) {
	text, err := s.readMetrics(ctx)
	if err != nil {
		return 0, err
	}
	for line := range strings.SplitSeq(text, "\n") {
		if value, ok := strings.CutPrefix(line, name+" "); ok {
			return strconv.ParseFloat(value, 64)
		}
	}
	return 0, fmt.Errorf("no %s in /metrics", name)
}

// labels lists the samples whose names begin with a prefix, by what comes after it.
func (s *site) labels(ctx context.Context, prefix string) (string, error) {
	text, err := s.readMetrics(ctx)
	var parts []string
	for line := range strings.SplitSeq(text, "\n") {
		if rest, ok := strings.CutPrefix(line, prefix); ok {
			parts = append(parts, strings.NewReplacer(`"`, "", "}", ":").Replace(rest))
		}
	}
	return strings.Join(parts, ", "), err
}

func (s *site) readMetrics(ctx context.Context) (string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.url()+"/metrics", nil)
	if err != nil {
		return "", err
	}
	resp, err := s.metrics.Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("/metrics: HTTP %d", resp.StatusCode)
	}
	return string(text), err
}

const goroutines = "go_goroutines"

// calm waits until the server has no more goroutines than before, and a few of the runtime's and of the
// connection that asks. It returns what is left when patience ends.
func (s *site) calm(ctx context.Context, before float64, patience time.Duration) (now float64, ok bool, err error) {
	for end := time.Now().Add(patience); ; {
		if now, err = s.gauge(ctx, goroutines); err != nil {
			return 0, false, err
		}
		if now <= before+spareGoroutines {
			return now, true, nil
		}
		if time.Now().After(end) {
			return now, false, nil
		}
		select {
		case <-ctx.Done():
			return now, false, ctx.Err()
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// spareGoroutines are what a server may have more of without having lost one: finalizers, a timer, a database
// connection's watcher.
const spareGoroutines = 8
