package admin

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"letterlock/internal/deliver"
	"letterlock/storage"
)

// patient is a recorder whose connection knows deadlines, as the socket's does.
type patient struct{ *httptest.ResponseRecorder }

func (patient) SetReadDeadline(time.Time) error  { return nil }
func (patient) SetWriteDeadline(time.Time) error { return nil }

// FuzzRequest: whoever may open the socket may say anything to it, and is
// answered in JSON whatever it is.
func FuzzRequest(f *testing.F) {
	for path, body := range map[string]string{
		"/v1/user/add":       `{"address":"bob","credentials":"eA=="}`,
		"/v1/user/list":      `{}`,
		"/v1/user/quota/set": `{"address":"ann","max_bytes":18446744073709551615}`,
		"/v1/user/release":   `"ann"`,
		"/v1/alias/add":      `{"from":"@example.com","to":["ann","ann+x"]}`,
		"/v1/script/put":     `{"address":"ann","name":"a","text":"a2VlcDs=","activate":true}`,
		"/v1/script":         `{"address":"ann"}`,
		"/v1/forward/add":    `{"address":"ann","to":"\"a b\"@example.net","keep":true,"requiretls":true}`,
		"/v1/vacation/set":   `{"address":"ann","text":".\r\n# <<< letterlock","from":"2026-12-24","days":3,"addresses":["x"]}`,
		"/v1/managed":        `"ann"`,
		"/v1/queue":          `{"ids":["1","64"],"state":"held"}`,
		"/v1/queue/handle":   `{"state":"any","do":"delete"}`,
		"/v1/explain":        `{"address":"ann","mailbox":"INBOX","uid":1}`,
		"/v1/route":          `{"domain":"xn--a.example","requiretls":true}`,
		"/v1/trace":          `{"address":"ann","last":-1}`,
		"/v1/check":          `null`,
		"/v1/nothing":        `[`,
	} {
		f.Add(path, body)
	}
	dir := filepath.Join(f.TempDir(), "data")
	store, err := storage.Open(dir, storage.Options{Log: silent})
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { store.Close() })
	desk := NewDesk(Options{Store: store, Data: dir, Addresses: deliver.Addresses{Domain: "example.org", Delimiter: "+", Fold: true}, Ring: NewRing(4)})
	if _, err := desk.AddUser(context.Background(), Login{Address: "ann"}); err != nil {
		f.Fatal(err)
	}
	handler := routes(desk)
	f.Fuzz(func(t *testing.T, path, body string) {
		if path == "/v1/backup" || !strings.HasPrefix(path, "/v1/") || strings.ContainsAny(path, "%?# ") {
			t.Skip("no operation that can be tried here: a backup writes where it is told to")
		}
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second) // who follows hangs up some time
		defer cancel()
		r, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://admin"+path, strings.NewReader(body))
		if err != nil {
			t.Skip("no URL")
		}
		w := patient{httptest.NewRecorder()}
		handler.ServeHTTP(w, r)
		switch w.Code {
		case http.StatusOK, http.StatusBadRequest, http.StatusNotFound, http.StatusUnprocessableEntity:
		case http.StatusMovedPermanently, http.StatusTemporaryRedirect, http.StatusPermanentRedirect: // the path was not clean
			return
		default:
			t.Fatalf("%s %s: status %d", path, body, w.Code)
		}
		for lines := json.NewDecoder(w.Body); lines.More(); {
			var any json.RawMessage
			if err := lines.Decode(&any); err != nil {
				t.Fatalf("%s %s: answered %v", path, body, err)
			}
		}
	})
}
