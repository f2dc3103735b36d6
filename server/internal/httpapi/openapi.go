package httpapi

import (
	_ "embed"
	"net/http"

	"github.com/labstack/echo/v4"
)

// openapiJSON describes every route. It is written by hand; tests hold it
// against the table of routes and against what the handlers really answer.
//
//go:embed openapi.json
var openapiJSON []byte

// OpenAPI returns the description of the API as a JSON document.
func OpenAPI() []byte { return append([]byte(nil), openapiJSON...) }

// openapi is GET /v1/openapi.json.
func (a *API) openapi(c echo.Context) error {
	w := c.Response()
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusOK)
	_, err := w.Write(openapiJSON)
	return err
}
