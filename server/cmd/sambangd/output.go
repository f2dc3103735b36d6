package main

import (
	"encoding/json"
	"fmt"
	"strings"
	"text/tabwriter"
	"time"
)

// show writes v as JSON, or rows as a table below heads.
func (a *app) show(v any, heads []string, rows [][]string) error {
	if a.json {
		e := json.NewEncoder(a.stdout)
		e.SetEscapeHTML(false)
		e.SetIndent("", "  ")
		return e.Encode(v)
	}
	w := tabwriter.NewWriter(a.stdout, 0, 4, 2, ' ', 0)
	if len(heads) > 0 {
		fmt.Fprintln(w, strings.Join(heads, "\t"))
	}
	for _, r := range rows {
		fmt.Fprintln(w, strings.Join(r, "\t"))
	}
	return w.Flush()
}

// done tells that a command did what it was told, as JSON or as a sentence.
func (a *app) done(v map[string]string, id, en string) error {
	if a.json {
		return a.show(v, nil, nil)
	}
	fmt.Fprintln(a.stdout, a.say(id, en))
	return nil
}

func moment(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return t.UTC().Format("2006-01-02 15:04:05Z")
}

// timePointer leaves a time that never was out of JSON.
func timePointer(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

func (a *app) yes(b bool) string {
	if b {
		return a.say("ya", "yes")
	}
	return a.say("tidak", "no")
}
