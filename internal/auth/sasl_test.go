package auth

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"errors"
	"math/big"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-sasl"
	"github.com/xdg-go/scram"
)

// town is users by name; the alias of a name is an account's second one.
type town map[string]resident

type resident struct {
	account     uint64
	credentials []byte
}

func (u town) Credentials(_ context.Context, login string) (uint64, []byte, error) {
	r, ok := u[strings.ToLower(login)]
	if !ok {
		return 0, nil, ErrNoUser
	}
	return r.account, r.credentials, nil
}

func residents(t testing.TB) town {
	t.Helper()
	key := func(password string) []byte {
		c, err := NewCredentials(password)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	ann, bob := key("pencil"), key("crayon")
	return town{
		"ann@example.org":    {1, ann},
		"alias@example.org":  {1, ann},
		"bob@example.org":    {2, bob},
		"a,b=c@example.org":  {3, ann},
		"🔒@example.org":      {4, ann},
		"old@example.org":    {5, []byte(strings.Join(strings.Split(string(ann), "\n")[:2], "\n") + "\n")}, // no SCRAM keys
		"spoilt@example.org": {6, []byte("letterlock credentials 1\nSCRAM-SHA-1$x\nSCRAM-SHA-256$4096:AAAA$AAAA:AAAA\n")},
	}
}

var inPrivate = Facts{Private: true}

// channel is one TLS connection as both ends see it.
type channel struct {
	server, client tls.ConnectionState
	shown          *x509.Certificate
}

func (c channel) facts() Facts {
	return Facts{Private: true, TLS: &c.server, Certificate: c.shown}
}

// connect makes a TLS connection of that version, with a client certificate for
// these addresses where there are any.
func connect(t testing.TB, version uint16, emails ...string) channel {
	t.Helper()
	shown := certificate(t, &x509.Certificate{DNSNames: []string{"mail.example.org"}})
	here, there := net.Pipe()
	serverConf := &tls.Config{Certificates: []tls.Certificate{shown}, MaxVersion: version}
	clientConf := &tls.Config{InsecureSkipVerify: true, MaxVersion: version}
	if len(emails) > 0 {
		own := certificate(t, &x509.Certificate{EmailAddresses: emails, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}})
		clientConf.Certificates = []tls.Certificate{own}
		serverConf.ClientAuth = tls.RequireAndVerifyClientCert
		serverConf.ClientCAs = x509.NewCertPool()
		serverConf.ClientCAs.AddCert(own.Leaf)
	}
	server, client := tls.Server(here, serverConf), tls.Client(there, clientConf)
	t.Cleanup(func() { here.Close(); there.Close() })
	done := make(chan error, 1)
	go func() { done <- server.Handshake() }()
	if err := client.Handshake(); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	return channel{server.ConnectionState(), client.ConnectionState(), shown.Leaf}
}

// certificate signs itself.
func certificate(t testing.TB, c *x509.Certificate) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c.SerialNumber, c.Subject = big.NewInt(1), pkix.Name{CommonName: "test"}
	c.NotBefore, c.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	der, err := x509.CreateCertificate(rand.Reader, c, c, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}
}

// talker is a client's side: what it answers to a challenge.
type talker func(challenge []byte) ([]byte, error)

// talk runs an exchange to its end, as a protocol that has no room for data
// beside success would.
func talk(t testing.TB, c *Checker, mechanism string, f Facts, client talker) (*Outcome, error) {
	t.Helper()
	x, err := c.Begin(mechanism, f)
	if err != nil {
		return nil, err
	}
	var challenge []byte
	for range 4 {
		response, err := client(challenge)
		if err != nil {
			t.Fatalf("%s: the client gives up: %v", mechanism, err)
		}
		data, who, err := x.Next(t.Context(), response)
		if err != nil {
			return nil, err
		}
		if who != nil {
			if data != nil {
				if _, err := client(data); err != nil {
					t.Fatalf("%s: the client does not believe us: %v", mechanism, err)
				}
			}
			return who, nil
		}
		challenge = data
	}
	t.Fatalf("%s has no end", mechanism)
	return nil, nil
}

func xdg(t testing.TB, mechanism, login, password, authzid string, binding *scram.ChannelBinding) talker {
	t.Helper()
	generator := scram.SHA256
	if strings.HasPrefix(mechanism, "SCRAM-SHA-1") {
		generator = scram.SHA1
	}
	client, err := generator.NewClientUnprepped(login, password, authzid)
	if err != nil {
		t.Fatal(err)
	}
	conversation := client.NewConversation()
	if binding != nil {
		conversation = client.NewConversationWithChannelBinding(*binding)
	}
	return func(challenge []byte) ([]byte, error) {
		answer, err := conversation.Step(string(challenge))
		return []byte(answer), err
	}
}

// emersion drives github.com/emersion/go-sasl.
func emersion(client sasl.Client) talker {
	started := false
	return func(challenge []byte) ([]byte, error) {
		if started {
			return client.Next(challenge)
		}
		started = true
		_, initial, err := client.Start()
		return initial, err
	}
}

func TestSCRAMWithAnotherLibrarysClient(t *testing.T) {
	cheap(t)
	c := NewChecker(residents(t), 1)
	for _, mechanism := range []string{"SCRAM-SHA-1", "SCRAM-SHA-256"} {
		for name, try := range map[string]struct {
			login, password, authzid string
			account                  uint64
			want                     error
		}{
			"right":             {"ann@example.org", "pencil", "", 1, nil},
			"other case":        {"Ann@Example.org", "pencil", "", 1, nil},
			"wrong":             {"ann@example.org", "crayon", "", 0, ErrRefused},
			"nobody":            {"eve@example.org", "pencil", "", 0, ErrRefused},
			"no keys":           {"old@example.org", "pencil", "", 0, ErrRefused},
			"comma and equals":  {"a,b=c@example.org", "pencil", "", 3, nil},
			"younger letters":   {"🔒@example.org", "pencil", "", 4, nil},
			"as herself":        {"ann@example.org", "pencil", "ann@example.org", 1, nil},
			"as her other name": {"ann@example.org", "pencil", "alias@example.org", 1, nil},
			"as somebody else":  {"ann@example.org", "pencil", "bob@example.org", 0, ErrForeign},
			"as nobody":         {"ann@example.org", "pencil", "eve@example.org", 0, ErrForeign},
		} {
			who, err := talk(t, c, mechanism, inPrivate, xdg(t, mechanism, try.login, try.password, try.authzid, nil))
			if !errors.Is(err, try.want) || (err == nil) != (try.want == nil) {
				t.Errorf("%s, %s: %v, want %v", mechanism, name, err, try.want)
				continue
			}
			if err == nil && (who.Account != try.account || who.Login != try.login || who.Bound) {
				t.Errorf("%s, %s: %+v, want account %d as %s", mechanism, name, who, try.account, try.login)
			}
		}
	}
}

func TestSCRAMPlusProvesThatNobodySitsInBetween(t *testing.T) { // RFC 5802 §6, RFC 9266, RFC 5929
	cheap(t)
	c := NewChecker(residents(t), 1)
	for name, version := range map[string]uint16{"TLS 1.2": tls.VersionTLS12, "TLS 1.3": tls.VersionTLS13} {
		here, elsewhere := connect(t, version), connect(t, version)
		bindings := map[string]func(channel) (scram.ChannelBinding, error){
			tlsExporter:       func(ch channel) (scram.ChannelBinding, error) { return scram.NewTLSExporterBinding(&ch.client) },
			tlsServerEndPoint: func(ch channel) (scram.ChannelBinding, error) { return scram.NewTLSServerEndpointBinding(&ch.client) },
		}
		if version == tls.VersionTLS12 {
			bindings[tlsUnique] = func(ch channel) (scram.ChannelBinding, error) {
				return scram.NewTLSUniqueBinding(ch.client.TLSUnique), nil
			}
		}
		for kind, bind := range bindings {
			for _, mechanism := range []string{"SCRAM-SHA-1-PLUS", "SCRAM-SHA-256-PLUS"} {
				own, err := bind(here)
				if err != nil {
					t.Fatal(err)
				}
				who, err := talk(t, c, mechanism, here.facts(), xdg(t, mechanism, "ann@example.org", "pencil", "", &own))
				if err != nil || !who.Bound || who.Account != 1 {
					t.Errorf("%s, %s with %s: %+v, %v; want account 1, bound", name, mechanism, kind, who, err)
				}
				// The man in the middle has a TLS connection with each of them.
				other, err := bind(elsewhere)
				if err != nil {
					t.Fatal(err)
				}
				who, err = talk(t, c, mechanism, here.facts(), xdg(t, mechanism, "ann@example.org", "pencil", "", &other))
				if !errors.Is(err, ErrIntercepted) {
					t.Errorf("%s, %s with %s of another connection: %+v, %v; want %v", name, mechanism, kind, who, err, ErrIntercepted)
				}
				who, err = talk(t, c, mechanism, here.facts(), xdg(t, mechanism, "ann@example.org", "crayon", "", &own))
				if !errors.Is(err, ErrRefused) {
					t.Errorf("%s, %s with a wrong password: %+v, %v; want %v", name, mechanism, who, err, ErrRefused)
				}
			}
		}
	}
}

// RFC 5802 §6: flag "y" where -PLUS was offered means that somebody took it off
// the list.
func TestSCRAMDowngradeIsNoticed(t *testing.T) {
	cheap(t)
	c := NewChecker(residents(t), 1)
	facts := connect(t, tls.VersionTLS13).facts()
	notOffered := facts
	notOffered.NoBinding = true
	for name, try := range map[string]struct {
		facts     Facts
		mechanism string
		first     string
		want      error
	}{
		"y, and we could":                {facts, "SCRAM-SHA-256", "y,,n=ann@example.org,r=abc", ErrIntercepted},
		"y, and we could not":            {notOffered, "SCRAM-SHA-256", "y,,n=ann@example.org,r=abc", nil},
		"n, and we could":                {facts, "SCRAM-SHA-256", "n,,n=ann@example.org,r=abc", nil},
		"p without -PLUS":                {facts, "SCRAM-SHA-256", "p=tls-exporter,,n=ann@example.org,r=abc", ErrMalformed},
		"n with -PLUS":                   {facts, "SCRAM-SHA-256-PLUS", "n,,n=ann@example.org,r=abc", ErrMalformed},
		"a type nobody knows":            {facts, "SCRAM-SHA-256-PLUS", "p=tls-magic,,n=ann@example.org,r=abc", ErrIntercepted},
		"a type this connection has not": {facts, "SCRAM-SHA-256-PLUS", "p=tls-unique,,n=ann@example.org,r=abc", ErrIntercepted},
	} {
		x, err := c.Begin(try.mechanism, try.facts)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if _, _, err := x.Next(t.Context(), []byte(try.first)); !errors.Is(err, try.want) || (err == nil) != (try.want == nil) {
			t.Errorf("%s: %v, want %v", name, err, try.want)
		}
	}
}

// The whole exchanges of RFC 5802 §5 and RFC 7677 §3.
func TestSCRAMExchangesOfTheRFCs(t *testing.T) {
	for name, c := range map[string]struct {
		variant                             scramVariant
		salt, serverNonce                   string
		first, challenge, final, conclusion string
	}{
		"SCRAM-SHA-1": {scramSHA1, "QSXCR+Q6sek8bf92", "3rfcNHYJY1ZVvWVs7j",
			"n,,n=user,r=fyko+d2lbbFgONRv9qkxdawL",
			"r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,s=QSXCR+Q6sek8bf92,i=4096",
			"c=biws,r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,p=v0X8v3Bz2T0CJGbJQyF0X+HI4Ts=",
			"v=rmF9pqV8S7suAoZWja4dJRkFsKQ="},
		"SCRAM-SHA-256": {scramSHA256, "W22ZaJ0SNY7soEsUEjb6gQ==", "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0",
			"n,,n=user,r=rOprNGfwEbeRWgbNEkqO",
			"r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096",
			"c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=",
			"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="},
	} {
		salt, err := base64.StdEncoding.DecodeString(c.salt)
		if err != nil {
			t.Fatal(err)
		}
		users := town{"user": {9, []byte(credentialsV1 + "\n" + scramKeys(name, c.variant.hash, "pencil", salt, 4096) + "\n")}}
		x := c.variant.begin(NewChecker(users, 1), inPrivate).(*scramExchange)
		x.serverNonce = func() string { return c.serverNonce }
		challenge, who, err := x.Next(t.Context(), []byte(c.first))
		if string(challenge) != c.challenge || who != nil || err != nil {
			t.Errorf("%s: %q, %+v, %v\nwant %q", name, challenge, who, err, c.challenge)
		}
		conclusion, who, err := x.Next(t.Context(), []byte(c.final))
		if string(conclusion) != c.conclusion || who == nil || who.Account != 9 || err != nil {
			t.Errorf("%s: %q, %+v, %v\nwant %q", name, conclusion, who, err, c.conclusion)
		}
	}
}

func TestNobodyLearnsFromSCRAMWhoLivesHere(t *testing.T) {
	cheap(t)
	c := NewChecker(residents(t), 1)
	c.Secret = []byte("kept from start to start")
	again := NewChecker(residents(t), 1)
	again.Secret = c.Secret
	salt := func(c *Checker, login string) string {
		x, err := c.Begin("SCRAM-SHA-256", inPrivate)
		if err != nil {
			t.Fatal(err)
		}
		challenge, _, err := x.Next(t.Context(), []byte("n,,n="+login+",r=abc"))
		if err != nil {
			t.Fatalf("%s: %v", login, err)
		}
		_, rest, _ := strings.Cut(string(challenge), ",")
		return rest
	}
	nobody := salt(c, "eve@example.org")
	if len(nobody) != len(salt(c, "ann@example.org")) || !strings.HasSuffix(nobody, ",i=15000") {
		t.Errorf("the challenge of nobody is %q, that of ann %q: they differ in form", nobody, salt(c, "ann@example.org"))
	}
	for name, other := range map[string]string{
		"asked again":     salt(c, "eve@example.org"),
		"after a restart": salt(again, "eve@example.org"),
		"in capitals":     salt(c, "EVE@example.org"),
	} {
		if other != nobody {
			t.Errorf("%s: %q, want %q as before", name, other, nobody)
		}
	}
	if salt(c, "mallory@example.org") == nobody {
		t.Error("all who are not there have the same salt")
	}
	if sha1 := c.decoy(scramSHA1, "eve@example.org"); strings.Contains(nobody, base64.StdEncoding.EncodeToString(sha1.salt)) {
		t.Error("both mechanisms show nobody the same salt, which no real user has")
	}
	// Not even one who knows what was made up gets in.
	x, _ := c.Begin("SCRAM-SHA-256", inPrivate)
	if _, _, err := x.Next(t.Context(), []byte("n,,n=eve@example.org,r=abc")); err != nil {
		t.Fatal(err)
	}
	final := "c=biws,r=" + x.(*scramExchange).nonce + ",p=" + base64.StdEncoding.EncodeToString(make([]byte, sha256.Size))
	if _, who, err := x.Next(t.Context(), []byte(final)); !errors.Is(err, ErrRefused) {
		t.Errorf("%+v, %v; want %v", who, err, ErrRefused)
	}
}

func TestSpoiltSCRAMKeysAreOurTrouble(t *testing.T) {
	cheap(t)
	c := NewChecker(residents(t), 1)
	for _, mechanism := range []string{"SCRAM-SHA-1", "SCRAM-SHA-256"} {
		x, _ := c.Begin(mechanism, inPrivate)
		_, _, err := x.Next(t.Context(), []byte("n,,n=spoilt@example.org,r=abc"))
		var refused interface{ Refused() bool }
		if err == nil || errors.As(err, &refused) {
			t.Errorf("%s: %v; want an error that is not the client's doing", mechanism, err)
		}
	}
}

func TestMalformedSCRAM(t *testing.T) {
	for name, first := range map[string]string{
		"empty":                  "",
		"no flag":                ",,n=user,r=abc",
		"unknown flag":           "x,,n=user,r=abc",
		"no type":                "p=,,n=user,r=abc",
		"bad type":               "p=tls_exporter,,n=user,r=abc",
		"no authzid field":       "n,n=user,r=abc",
		"authzid not an a=":      "n,user,n=user,r=abc",
		"empty authzid":          "n,a=,n=user,r=abc",
		"mandatory extension":    "n,,m=x,n=user,r=abc",
		"m behind":               "n,,n=user,r=abc,m=x",
		"extension without name": "n,,n=user,r=abc,xyz",
		"empty name":             "n,,n=,r=abc",
		"bare equals":            "n,,n=us=er,r=abc",
		"lower case escape":      "n,,n=us=2cer,r=abc",
		"control":                "n,,n=us\x01er,r=abc",
		"NUL":                    "n,,n=us\x00er,r=abc",
		"not UTF-8":              "n,,n=us\xffer,r=abc",
		"no nonce":               "n,,n=user",
		"empty nonce":            "n,,n=user,r=",
		"nonce with a space":     "n,,n=user,r=a b",
		"order":                  "n,,r=abc,n=user",
		"endless":                "n,,n=user,r=" + strings.Repeat("x", maxScram),
		"endless name":           "n,,n=" + strings.Repeat("x", maxPart+1) + ",r=abc",
	} {
		if f, err := parseScramFirst([]byte(first)); !errors.Is(err, ErrMalformed) {
			t.Errorf("%s: %+v, %v", name, f, err)
		}
	}
	for name, final := range map[string]string{
		"empty":          "",
		"no proof":       "c=biws,r=abc",
		"no channel":     "r=abc,p=AAAA",
		"bad base64":     "c=biws,r=abc,p=AAA",
		"loose base64":   "c=biws,r=abc,p=AB==",
		"channel base64": "c=b!ws,r=abc,p=AAAA",
		"proof first":    "p=AAAA,c=biws,r=abc",
		"mandatory":      "c=biws,r=abc,m=x,p=AAAA",
		"empty nonce":    "c=biws,r=,p=AAAA",
		"behind proof":   "c=biws,r=abc,p=AAAA,x=y",
		"endless":        "c=biws,r=abc,p=" + strings.Repeat("A", maxScram),
	} {
		if f, err := parseScramFinal([]byte(final)); !errors.Is(err, ErrMalformed) {
			t.Errorf("%s: %+v, %v", name, f, err)
		}
	}
	// RFC 5802 §5.1: unknown optional extensions MUST be ignored.
	if f, err := parseScramFirst([]byte("n,,n=user,r=abc,x=y=,Z=1")); err != nil || f.login != "user" {
		t.Errorf("with extensions: %+v, %v", f, err)
	}
	if f, err := parseScramFinal([]byte("c=biws,r=abc,x=,p=AAAA")); !errors.Is(err, ErrMalformed) {
		t.Errorf("an attribute without value: %+v, %v", f, err)
	}
	if f, err := parseScramFinal([]byte("c=biws,r=abc,x=1,p=AAAA")); err != nil || f.withoutProof != "c=biws,r=abc,x=1" {
		t.Errorf("with extensions: %+v, %v", f, err)
	}
}

// RFC 5802 §5.1: the server MUST verify the nonce, and what the client bound
// (§6), even where it bound nothing.
func TestSCRAMFinalMustFitTheFirst(t *testing.T) {
	cheap(t)
	c := NewChecker(residents(t), 1)
	proof := base64.StdEncoding.EncodeToString(make([]byte, sha1.Size))
	for name, try := range map[string]struct {
		final func(nonce string) string
		want  error
	}{
		"nonce of another": {func(n string) string { return "c=biws,r=x" + n + ",p=" + proof }, ErrMalformed},
		"nonce cut":        {func(n string) string { return "c=biws,r=" + n[:len(n)-1] + ",p=" + proof }, ErrMalformed},
		"another header":   {func(n string) string { return "c=eSws,r=" + n + ",p=" + proof }, ErrIntercepted},
		"short proof":      {func(n string) string { return "c=biws,r=" + n + ",p=AAAA" }, ErrRefused},
		"no such proof":    {func(n string) string { return "c=biws,r=" + n + ",p=" + proof }, ErrRefused},
	} {
		x, _ := c.Begin("SCRAM-SHA-1", inPrivate)
		challenge, _, err := x.Next(t.Context(), []byte("n,,n=ann@example.org,r=abc"))
		if err != nil {
			t.Fatal(err)
		}
		nonce, _, _ := strings.Cut(strings.TrimPrefix(string(challenge), "r="), ",")
		if _, who, err := x.Next(t.Context(), []byte(try.final(nonce))); !errors.Is(err, try.want) {
			t.Errorf("%s: %+v, %v; want %v", name, who, err, try.want)
		}
	}
}

func TestPLAINAndEXTERNALWithAnotherLibrarysClient(t *testing.T) {
	cheap(t)
	c := NewChecker(residents(t), 1)
	who, err := talk(t, c, "PLAIN", inPrivate, emersion(sasl.NewPlainClient("", "ann@example.org", "pencil")))
	if err != nil || who.Account != 1 || who.Bound {
		t.Errorf("PLAIN: %+v, %v", who, err)
	}
	for name, try := range map[string]struct {
		client talker
		want   error
	}{
		"wrong password":   {emersion(sasl.NewPlainClient("", "ann@example.org", "crayon")), ErrRefused},
		"nobody":           {emersion(sasl.NewPlainClient("", "eve@example.org", "pencil")), ErrRefused},
		"as somebody else": {emersion(sasl.NewPlainClient("bob@example.org", "ann@example.org", "pencil")), ErrForeign},
		// Without her password nobody hears what she may not do.
		"as somebody else, wrong": {emersion(sasl.NewPlainClient("bob@example.org", "ann@example.org", "crayon")), ErrRefused},
	} {
		if who, err := talk(t, c, "PLAIN", inPrivate, try.client); !errors.Is(err, try.want) {
			t.Errorf("PLAIN, %s: %+v, %v; want %v", name, who, err, try.want)
		}
	}

	ann := connect(t, tls.VersionTLS13, "nobody@example.org", "Ann@example.org").facts()
	for name, try := range map[string]struct {
		facts   Facts
		authzid string
		login   string
		want    error
	}{
		"her own":          {ann, "", "Ann@example.org", nil},
		"named":            {ann, "ann@example.org", "Ann@example.org", nil},
		"another name":     {ann, "alias@example.org", "Ann@example.org", nil},
		"as somebody else": {ann, "bob@example.org", "", ErrForeign},
		"of nobody":        {connect(t, tls.VersionTLS13, "eve@example.org").facts(), "", "", ErrRefused},
	} {
		who, err := talk(t, c, "EXTERNAL", try.facts, emersion(sasl.NewExternalClient(try.authzid)))
		if !errors.Is(err, try.want) || (err == nil) != (try.want == nil) {
			t.Errorf("EXTERNAL, %s: %v, want %v", name, err, try.want)
			continue
		}
		if err == nil && (who.Account != 1 || who.Login != try.login || !who.Bound) {
			t.Errorf("EXTERNAL, %s: %+v, want account 1 as %s, bound", name, who, try.login)
		}
	}
}

// A certificate proves that nobody sits in between only if it is the person's
// own: whoever does sit there may have one, too.
func TestSomebodyElsesCertificateBindsNothing(t *testing.T) {
	cheap(t)
	c := NewChecker(residents(t), 1)
	for _, login := range []string{"ann@example.org", "alias@example.org"} {
		who, err := c.LogIn(t.Context(), connect(t, tls.VersionTLS13, "ann@example.org").facts(), login, "pencil")
		if err != nil || !who.Bound {
			t.Errorf("%s with ann's certificate: %+v, %v; want it bound", login, who, err)
		}
		who, err = c.LogIn(t.Context(), connect(t, tls.VersionTLS13, "bob@example.org").facts(), login, "pencil")
		if err != nil || who.Bound {
			t.Errorf("%s with bob's certificate: %+v, %v; want it not bound", login, who, err)
		}
	}
}

func TestWhatIsOfferedWhere(t *testing.T) {
	c := NewChecker(town{}, 1)
	scrams := []string{"SCRAM-SHA-256", "SCRAM-SHA-1", "PLAIN"}
	plus := append([]string{"SCRAM-SHA-256-PLUS", "SCRAM-SHA-1-PLUS"}, scrams...)
	secure := connect(t, tls.VersionTLS13).facts()
	spent := secure
	spent.NoBinding = true
	for name, try := range map[string]struct {
		facts Facts
		want  []string
	}{
		"in clear":                 {Facts{}, nil},
		"through a proxy":          {inPrivate, scrams},
		"TLS":                      {secure, plus},
		"the binding was used":     {spent, scrams},
		"with a certificate":       {connect(t, tls.VersionTLS13, "ann@example.org").facts(), append([]string{"EXTERNAL"}, plus...)},
		"certificate without name": {connect(t, tls.VersionTLS13, "").facts(), append([]string{"EXTERNAL"}, plus...)},
	} {
		if got := c.Offer(try.facts); !slices.Equal(got, try.want) {
			t.Errorf("%s: %q, want %q", name, got, try.want)
		}
	}
	c.Allowed = []string{"SCRAM-SHA-256-PLUS", "SCRAM-SHA-256"}
	if got := c.Offer(secure); !slices.Equal(got, c.Allowed) {
		t.Errorf("offered %q, allowed %q", got, c.Allowed)
	}
	for name, try := range map[string]struct {
		mechanism string
		facts     Facts
		want      error
	}{
		"not known":    {"LOGIN", secure, ErrNoMechanism},
		"not allowed":  {"PLAIN", secure, ErrTooWeak},
		"in clear":     {"SCRAM-SHA-256", Facts{}, ErrNotPrivate},
		"without TLS":  {"SCRAM-SHA-256-PLUS", inPrivate, ErrNoMechanism},
		"wrong letter": {"scram-sha-256", secure, ErrNoMechanism},
	} {
		if _, err := c.Begin(try.mechanism, try.facts); !errors.Is(err, try.want) {
			t.Errorf("%s: %v, want %v", name, err, try.want)
		}
	}
}

func TestAServerThatBindsNotAtAllMayBeToldSo(t *testing.T) { // RFC 5802 §6, where the admin took -PLUS away
	cheap(t)
	c := NewChecker(residents(t), 1)
	c.Allowed = []string{"SCRAM-SHA-256"}
	x, err := c.Begin("SCRAM-SHA-256", connect(t, tls.VersionTLS13).facts())
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := x.Next(t.Context(), []byte("y,,n=ann@example.org,r=abc")); err != nil {
		t.Errorf("flag y: %v", err)
	}
}

func FuzzScramFirst(f *testing.F) {
	f.Add([]byte("n,,n=user,r=fyko+d2lbbFgONRv9qkxdawL"))
	f.Add([]byte("p=tls-exporter,a=al=2Ci=3Ds,n=user,r=abc,x=y"))
	f.Add([]byte("y,,n=\xc2\xa0,r=abc"))
	f.Fuzz(func(t *testing.T, message []byte) {
		got, err := parseScramFirst(message)
		if err != nil {
			return
		}
		if got.gs2+got.bare != string(message) || got.login == "" || got.nonce == "" || strings.ContainsRune(got.nonce, ',') {
			t.Errorf("%q was read as %+v", message, got)
		}
	})
}

func FuzzScramFinal(f *testing.F) {
	f.Add([]byte("c=biws,r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,p=v0X8v3Bz2T0CJGbJQyF0X+HI4Ts="))
	f.Add([]byte("c=biws,r=abc,x=y,p=,p=AAAA"))
	f.Fuzz(func(t *testing.T, message []byte) {
		got, err := parseScramFinal(message)
		if err != nil {
			return
		}
		back := got.withoutProof + ",p=" + base64.StdEncoding.EncodeToString(got.proof)
		if back != string(message) || !strings.Contains(back, ",r="+got.nonce) {
			t.Errorf("%q was read as %+v", message, got)
		}
	})
}

func FuzzStoredScram(f *testing.F) {
	f.Add("4096:QSXCR+Q6sek8bf92$" + strings.Repeat("A", 27) + "=:" + strings.Repeat("A", 27) + "=")
	f.Fuzz(func(t *testing.T, text string) {
		k, err := parseScramKey(text, sha1.Size)
		if err == nil && (k.iterations < 1 || len(k.salt) == 0 || len(k.stored) != sha1.Size || len(k.server) != sha1.Size) {
			t.Errorf("%q passed as %+v", text, k)
		}
	})
}
