package httpapi

import (
	"net/http"

	"github.com/labstack/echo/v4"

	"github.com/sambang-id/sambang/server/internal/hq"
)

// devices is GET /v1/devices.
func (a *API) devices(c echo.Context) error {
	r, err := reader(c)
	if err != nil {
		return err
	}
	query, err := words(c.Request())
	if err != nil {
		return err
	}
	if err := only(query, "region", "agency"); err != nil {
		return err
	}
	f, err := hq.ParseFilter(query)
	if err != nil {
		return err
	}
	devices, err := a.config.HQ.Devices(c.Request().Context(), r, f.Region, f.Agency)
	if err != nil {
		return err
	}
	return sendJSON(c, http.StatusOK, struct {
		Devices []hq.Device `json:"devices"`
	}{devices})
}
