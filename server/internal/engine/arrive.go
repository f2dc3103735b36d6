package engine

import (
	"errors"
	"io"
	"maps"

	"github.com/sambang-id/sambang/syncproto"
	"github.com/sambang-id/sambang/syncproto/wire"
)

// arriving is one batch of a request, decoded.
type arriving struct {
	batch *batch
	last  bool
	err   error
}

// arrivals decodes the request's batches while those before them are being
// committed, at most one ahead. stop ends it, and must be called; it waits for
// a read from the device that is under way.
func (p *push) arrivals(next func() (*wire.Batch, error)) (batches <-chan arriving, stop func()) {
	d := decoding{push: p, replicas: maps.Clone(p.replicas), recovering: p.recovering()}
	out := make(chan arriving)
	stopped, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		defer close(out)
		ahead, err := next()
		for index := 0; !errors.Is(err, io.EOF); index++ {
			a := arriving{err: err}
			if a.err == nil && index >= syncproto.MaxBatches {
				a.err = syncproto.Errorf(syncproto.CodeTooMany, "more than %d batches in a request", syncproto.MaxBatches)
			}
			if a.err == nil {
				a.batch, a.err = d.batch(index, ahead)
			}
			if a.err == nil {
				ahead, err = next()
				a.last = errors.Is(err, io.EOF)
				if err != nil && !a.last {
					a.err = err
				}
			}
			select {
			case out <- a:
			case <-stopped:
				return
			}
			if a.err != nil {
				return
			}
		}
	}()
	return out, func() {
		close(stopped)
		<-ended
	}
}
