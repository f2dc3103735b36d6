package httpapi

import (
	"net/http"

	"github.com/labstack/echo/v4"

	"github.com/sambang-id/sambang/syncproto"
)

// record is GET /v1/records/:id.
func (a *API) record(c echo.Context) error {
	r, err := reader(c)
	if err != nil {
		return err
	}
	id, err := syncproto.ParseRecordID(c.Param("id"))
	if err != nil {
		return syncproto.Errorf(syncproto.CodeBadID, "the address has no record id")
	}
	if err := noQuery(c.Request()); err != nil {
		return err
	}
	record, err := a.config.HQ.Record(c.Request().Context(), r, id)
	if err != nil {
		return err
	}
	return sendJSON(c, http.StatusOK, record)
}

// purge is POST /v1/records/:id/purge.
func (a *API) purge(c echo.Context) error {
	r, err := reader(c)
	if err != nil {
		return err
	}
	id, err := syncproto.ParseRecordID(c.Param("id"))
	if err != nil {
		return syncproto.Errorf(syncproto.CodeBadID, "the address has no record id")
	}
	if err := noQuery(c.Request()); err != nil {
		return err
	}
	why, err := reason(c.Request())
	if err != nil {
		return err
	}
	entry, err := a.config.HQ.Purge(c.Request().Context(), r, id, why)
	if err != nil {
		return err
	}
	return sendJSON(c, http.StatusOK, entry)
}
