package httpapi

import (
	"net/http"
	"strings"

	"github.com/labstack/echo/v4"

	"github.com/sambang-id/sambang/server/internal/auth"
	"github.com/sambang-id/sambang/syncproto"
)

// route is one line of the API.
type route struct {
	method, path string
	action       auth.Action
	handler      echo.HandlerFunc
}

// routes is the whole API.
func (a *API) routes() []route {
	routes := []route{
		{http.MethodPost, "/v1/sync", auth.Sync, a.sync},
		{http.MethodPost, "/v1/enrol", auth.Public, a.enrol},
		{http.MethodGet, "/v1/time", auth.Public, a.time},
		{http.MethodGet, "/healthz", auth.Public, a.healthz},
		{http.MethodGet, "/readyz", auth.Public, a.readyz},
		{http.MethodGet, "/v1/openapi.json", auth.Public, a.openapi},
	}
	routes = append(routes, a.hqRoutes()...)
	if !a.config.MetricsApart {
		routes = append(routes, route{http.MethodGet, "/metrics", auth.Public, echo.WrapHandler(a.Metrics())})
	}
	return routes
}

// guard lets those pass who may take the route's action.
func (a *API) guard(r route) echo.HandlerFunc {
	return func(c echo.Context) error {
		ip := c.RealIP()
		if !a.gates.address.allow(ipKey(ip), a.now()) {
			return syncproto.Errorf(syncproto.CodeRateLimited, "too many requests from this address")
		}
		var err error
		switch r.action {
		case auth.Public:
		case auth.Sync:
			err = a.admitDevice(c)
		default:
			err = a.admitPerson(c, r.action)
		}
		if err != nil {
			return err
		}
		return r.handler(c)
	}
}

func (a *API) admitDevice(c echo.Context) error {
	token, err := bearer(c.Request())
	if err != nil {
		return err
	}
	caller, err := a.config.Devices.Verify(c.Request().Context(), token, a.now())
	call := callOf(c)
	call.device = caller.Device
	if err != nil {
		return err
	}
	if !a.gates.device.allow(caller.Device.ID, a.now()) {
		return syncproto.Errorf(syncproto.CodeRateLimited, "too many requests of this device")
	}
	return nil
}

func (a *API) admitPerson(c echo.Context, action auth.Action) error {
	token, err := bearer(c.Request())
	if err != nil {
		return err
	}
	person, err := a.config.Identity.VerifyPerson(token, a.now())
	if err != nil {
		return err
	}
	if !person.Role.Can(action) {
		return syncproto.Errorf(syncproto.CodeForbidden, "the role %s does not cover %s", person.Role, action)
	}
	callOf(c).person = person
	return nil
}

// bearer returns the token of the one Authorization header.
func bearer(r *http.Request) (string, error) {
	values := r.Header.Values("Authorization")
	if len(values) == 0 {
		return "", syncproto.Errorf(syncproto.CodeUnauthorized, "no Authorization header")
	}
	scheme, token, ok := strings.Cut(values[0], " ")
	if len(values) > 1 || !ok || !strings.EqualFold(scheme, "Bearer") || token == "" {
		return "", syncproto.Errorf(syncproto.CodeUnauthorized, "the Authorization header is not one Bearer token")
	}
	return token, nil
}
