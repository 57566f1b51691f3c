package testnet

import (
	"crypto/tls"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"sync"
)

// web is all web servers of the Internet: one listener, a certificate for each
// name that is asked for.
type web struct {
	mu    sync.Mutex // guards all below
	pages map[string]*Page
	certs map[string]*tls.Certificate
	hits  map[string]int
	posts []Post
	addr  netip.Addr
}

// Page is what a web server says: by default 200, text/plain.
type Page struct {
	Status   int
	Type     string // Content-Type
	Body     string
	Location string // for redirects
	CertName string // the certificate is for this name instead
	CertLife Life
	Down     bool // nobody listens
}

// Post is what somebody sent to a web server.
type Post struct {
	URL, Type string
	Body      []byte
}

// Page puts a page at "host/path" and gives the host an address. A page may be
// replaced.
func (n *Net) Page(host, path string, p Page) {
	n.t.Helper()
	n.mu.Lock()
	w := n.web
	n.mu.Unlock()
	if w == nil {
		w = n.startWeb()
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.pages[host+path] == nil && w.certs[host] == nil {
		at := w.addr
		if p.Down {
			at = n.Addr()
		}
		n.Record(host + ". A " + at.String())
	}
	name := host
	if p.CertName != "" {
		name = p.CertName
	}
	cert, err := n.CA.Issue(p.CertLife, name)
	if err != nil {
		n.t.Fatal(err)
	}
	w.pages[host+path], w.certs[host] = &p, cert
}

// Policy publishes an MTA-STS policy: the record and the page (RFC 8461 §3).
func (n *Net) Policy(domain, id string, p Page) {
	n.t.Helper()
	n.Forget("_mta-sts." + domain)
	n.Record(`_mta-sts.` + domain + `. TXT "v=STSv1; id=` + id + `;"`)
	n.Page("mta-sts."+domain, "/.well-known/mta-sts.txt", p)
}

// Fetched is how often a page was asked for: "host/path".
func (n *Net) Fetched(page string) int {
	n.mu.Lock()
	w := n.web
	n.mu.Unlock()
	if w == nil {
		return 0
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.hits[page]
}

// Posts is what was sent to the web servers, in order.
func (n *Net) Posts() []Post {
	n.mu.Lock()
	w := n.web
	n.mu.Unlock()
	if w == nil {
		return nil
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	return append([]Post(nil), w.posts...)
}

func (n *Net) startWeb() *web {
	w := &web{pages: map[string]*Page{}, certs: map[string]*tls.Certificate{}, hits: map[string]int{}, addr: n.Addr()}
	s := httptest.NewUnstartedServer(w)
	s.TLS = &tls.Config{GetCertificate: w.certificate}
	s.Config.ErrorLog = log.New(io.Discard, "", 0) // handshakes fail on order
	s.StartTLS()
	n.t.Cleanup(s.Close)
	n.Lead(w.addr, "443", s.Listener.Addr())
	n.mu.Lock()
	defer n.mu.Unlock()
	n.web = w
	return w
}

func (w *web) certificate(h *tls.ClientHelloInfo) (*tls.Certificate, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.certs[h.ServerName], nil
}

// ServeHTTP implements [http.Handler].
func (w *web) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	w.mu.Lock()
	p := w.pages[r.Host+r.URL.Path]
	w.hits[r.Host+r.URL.Path]++
	w.mu.Unlock()
	if r.Method == http.MethodPost {
		body, _ := io.ReadAll(io.LimitReader(r.Body, 1<<20))
		w.mu.Lock()
		w.posts = append(w.posts, Post{URL: "https://" + r.Host + r.URL.Path, Type: r.Header.Get("Content-Type"), Body: body})
		w.mu.Unlock()
	}
	if p == nil {
		http.NotFound(rw, r)
		return
	}
	if p.Location != "" {
		rw.Header().Set("Location", p.Location)
	}
	kind := p.Type
	if kind == "" {
		kind = "text/plain"
	}
	rw.Header().Set("Content-Type", kind)
	if p.Status != 0 {
		rw.WriteHeader(p.Status)
	}
	_, _ = io.WriteString(rw, p.Body) // a client that is gone is its own loss
}
