package httpapi

import "github.com/sambang-id/sambang/server/internal/auth"

// Line is a line of the table of routes.
type Line struct {
	Method, Path string
	Action       auth.Action
}

// Table returns the table of routes.
func (a *API) Table() (out []Line) {
	for _, r := range a.routes() {
		out = append(out, Line{r.method, r.path, r.action})
	}
	return out
}
