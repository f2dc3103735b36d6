package transport

import (
	"context"
	"errors"
	"time"
)

// idleTimeout cuts a link on which nothing moves; a slow one may take its time.
const idleTimeout = 90 * time.Second

var errIdle = errors.New("nothing moved for 90 seconds")

// idleWatch cancels a request when nothing moves.
type idleWatch struct{ timer *time.Timer }

func newIdleWatch(cancel context.CancelFunc) *idleWatch {
	return &idleWatch{time.AfterFunc(idleTimeout, cancel)}
}

func (w *idleWatch) touch() { w.timer.Reset(idleTimeout) }

func (w *idleWatch) stop() { w.timer.Stop() }
