package config

import (
	"maps"
	"net/netip"
)

// setting puts the value of one key where it belongs, or says what is wrong
// with it. path is the key with a dot behind it, for tables.
type setting func(r *reading, path string, value any) *Error

// settings is every key there is, with its place in [Config].
func settings() map[string]setting {
	all := relaySettings()
	maps.Copy(all, sieveSettings())
	maps.Copy(all, map[string]setting{
		"hostname": text(func(r *reading) *string { return &r.cfg.Hostname }, hostname),
		"data":     text(func(r *reading) *string { return &r.cfg.Data }, folder),

		"storage":          table,
		"storage.key_file": text(func(r *reading) *string { return &r.cfg.Storage.KeyFile }, anything),

		"tls":      table,
		"tls.cert": text(func(r *reading) *string { return &r.cfg.TLS.Cert }, anything),
		"tls.key":  text(func(r *reading) *string { return &r.cfg.TLS.Key }, anything),

		"lmtp":                                   table,
		"lmtp.listen":                            places(func(r *reading, a []string) { r.cfg.LMTP.Listeners = append(listeners(a), r.cfg.LMTP.Listeners...) }, endpoint),
		"lmtp.max_size":                          size(func(r *reading) *int64 { return &r.cfg.LMTP.MaxSize }, messageSize),
		"lmtp.listener":                          tables(func(r *reading) *[]Listener { return &r.cfg.LMTP.Listeners }),
		"lmtp.listener.address":                  text(func(r *reading) *string { return &r.listener.Address }, endpoint),
		"lmtp.listener.trust_require_tls_header": truth(func(r *reading) *bool { return &r.listener.TrustRequireTLSHeader }),
		"lmtp.listener.allow":                    allow,
		"lmtp.listener.client_ca":                text(func(r *reading) *string { return &r.listener.ClientCA }, anything),

		"imap":                    table,
		"imap.listen":             places(func(r *reading, a []string) { r.cfg.IMAP.Listeners = append(listeners(a), r.cfg.IMAP.Listeners...) }, endpoint),
		"imap.listener":           tables(func(r *reading) *[]Listener { return &r.cfg.IMAP.Listeners }),
		"imap.listener.address":   text(func(r *reading) *string { return &r.listener.Address }, endpoint),
		"imap.listener.allow":     allow,
		"imap.listener.client_ca": text(func(r *reading) *string { return &r.listener.ClientCA }, anything),
		"imap.listener.proxy":     truth(func(r *reading) *bool { return &r.listener.Proxy }),
		"imap.listener.view":      text(func(r *reading) *string { return &r.listener.View }, oneOf("", ViewClear)),
		"imap.cleartext_auth":     cleartextAuth,
		"imap.release":            text(func(r *reading) *string { return &r.cfg.IMAP.Release }, oneOf(ReleaseTLS, ReleaseBound, ReleaseLocal)),
		"imap.on_insecure":        text(func(r *reading) *string { return &r.cfg.IMAP.OnInsecure }, oneOf(InsecureWithhold, InsecureRefuse, InsecureHide)),
		"imap.unauthenticate":     truth(func(r *reading) *bool { return &r.cfg.IMAP.Unauthenticate }),
		"imap.notice":             text(func(r *reading) *string { return &r.cfg.IMAP.Notice }, oneOf(NoticeCount, NoticeGeneric, NoticeOff)),

		"proxy":            table,
		"proxy.trusted":    networks(func(r *reading) *[]netip.Prefix { return &r.cfg.Proxy.Trusted }),
		"proxy.assume_tls": networks(func(r *reading) *[]netip.Prefix { return &r.cfg.Proxy.AssumeTLS }),

		"address":           table,
		"address.domain":    text(func(r *reading) *string { return &r.cfg.Address.Domain }, domain),
		"address.delimiter": text(func(r *reading) *string { return &r.cfg.Address.Delimiter }, delimiter),
		"address.case":      text(func(r *reading) *string { return &r.cfg.Address.Case }, oneOf(CaseFold, CaseKeep)),

		"quota":          table,
		"quota.bytes":    size(func(r *reading) *int64 { return &r.cfg.Quota.Bytes }, notNegative),
		"quota.messages": number(func(r *reading) *int64 { return &r.cfg.Quota.Messages }, notNegative),
		"quota.answer":   text(func(r *reading) *string { return &r.cfg.Quota.Answer }, oneOf(QuotaDefer, QuotaReject)),

		"managesieve": table,
		"managesieve.listen": places(func(r *reading, a []string) {
			r.cfg.ManageSieve.Listeners = append(listeners(a), r.cfg.ManageSieve.Listeners...)
		}, endpoint),
		"managesieve.listener":           tables(func(r *reading) *[]Listener { return &r.cfg.ManageSieve.Listeners }),
		"managesieve.listener.address":   text(func(r *reading) *string { return &r.listener.Address }, endpoint),
		"managesieve.listener.allow":     allow,
		"managesieve.listener.client_ca": text(func(r *reading) *string { return &r.listener.ClientCA }, anything),
		"managesieve.listener.proxy":     truth(func(r *reading) *bool { return &r.listener.Proxy }),

		"admin":        table,
		"admin.listen": places(func(r *reading, a []string) { r.cfg.Admin.Listen = a }, plainTCP),
	})
	return all
}

func listeners(addresses []string) []Listener {
	ls := make([]Listener, len(addresses))
	for i, a := range addresses {
		ls[i].Address = a
	}
	return ls
}
