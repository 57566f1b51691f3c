package admin

import (
	"context"
	"encoding/json"
	"net/http"
)

// maxRequest bounds one operation's arguments, in octets: a script of 1 MiB, as
// JSON has octets.
const maxRequest = 2 << 20

// operation joins one operation's path with what carries it out, for the
// server's side and for the client's, so that the two cannot disagree.
type operation[In, Out any] struct {
	path string
	do   func(Operations, context.Context, In) (Out, error)
}

type nothing struct{}

var (
	addUser     = operation[Login, User]{"/v1/user/add", Operations.AddUser}
	setPassword = operation[Login, User]{"/v1/user/passwd", Operations.SetPassword}
	removeUser  = operation[string, User]{"/v1/user/remove", Operations.RemoveUser}
	listUsers   = operation[nothing, []User]{"/v1/user/list", func(o Operations, ctx context.Context, _ nothing) ([]User, error) { return o.Users(ctx) }}
	addAlias    = operation[Alias, Alias]{"/v1/alias/add", Operations.AddAlias}
	removeAlias = operation[Alias, Alias]{"/v1/alias/remove", Operations.RemoveAlias}
	listAliases = operation[nothing, []Alias]{"/v1/alias/list", func(o Operations, ctx context.Context, _ nothing) ([]Alias, error) { return o.Aliases(ctx) }}
	showQuota   = operation[string, Quota]{"/v1/user/quota", Operations.Quota}
	setQuota    = operation[Limits, Quota]{"/v1/user/quota/set", Operations.SetQuota}
	showRelease = operation[string, Release]{"/v1/user/release", Operations.Release}
	setRelease  = operation[Release, Release]{"/v1/user/release/set", Operations.SetRelease}

	putScript      = operation[ScriptPut, Script]{"/v1/script/put", Operations.PutScript}
	listScripts    = operation[string, []Script]{"/v1/script/list", Operations.Scripts}
	showScript     = operation[ScriptName, Script]{"/v1/script", Operations.Script}
	activateScript = operation[ScriptName, Script]{"/v1/script/activate", Operations.ActivateScript}
	removeScript   = operation[ScriptName, Script]{"/v1/script/remove", Operations.RemoveScript}
	showManaged    = operation[string, Managed]{"/v1/managed", Operations.Managed}
	addForward     = operation[Forward, Managed]{"/v1/forward/add", Operations.AddForward}
	removeForward  = operation[Forward, Managed]{"/v1/forward/remove", Operations.RemoveForward}
	setVacation    = operation[Vacation, Managed]{"/v1/vacation/set", Operations.SetVacation}
	removeVacation = operation[string, Managed]{"/v1/vacation/remove", Operations.RemoveVacation}
	showRulesLog   = operation[string, RulesLog]{"/v1/rules-log", Operations.RulesLog}

	walkQueue   = stream[Selection, QueueRow]{"/v1/queue", Operations.Queue}
	openQueued  = operation[string, QueueLetter]{"/v1/queue/letter", Operations.QueueLetter}
	handleQueue = stream[QueueOrder, QueueRow]{"/v1/queue/handle", Operations.HandleQueue}
	routeTo     = long[RouteQuery, Way]{"/v1/route", Operations.Route}
	relayState  = operation[nothing, RelayState]{"/v1/relay", func(o Operations, ctx context.Context, _ nothing) (RelayState, error) { return o.RelayState(ctx) }}
	explain     = long[ExplainQuery, Explanation]{"/v1/explain", Operations.Explain}
	mtaSTS      = long[STSQuery, STS]{"/v1/mta-sts", Operations.MTASTS}
	traceMail   = stream[TraceQuery, TraceRecord]{"/v1/trace", Operations.Trace}

	checkSteps = stream[nothing, CheckNews]{"/v1/check", func(o Operations, ctx context.Context, _ nothing, told func(CheckNews)) error {
		return o.CheckSteps(ctx, told)
	}}
	keyStatus   = long[nothing, KeyStatus]{"/v1/keys", func(o Operations, ctx context.Context, _ nothing) (KeyStatus, error) { return o.Keys(ctx) }}
	sealStore   = stream[SealOrder, Steps]{"/v1/keys/seal", Operations.Seal}
	backupStore = stream[string, Progress]{"/v1/backup", Operations.Backup}
	whoServes   = operation[nothing, Server]{"/v1/server", func(o Operations, ctx context.Context, _ nothing) (Server, error) { return o.Server(ctx) }}
)

// offered is every operation there is.
var offered = []interface {
	answer(*http.ServeMux, Operations)
}{
	addUser, setPassword, removeUser, listUsers, addAlias, removeAlias, listAliases, showQuota, setQuota, showRelease, setRelease,
	putScript, listScripts, showScript, activateScript, removeScript, showManaged, addForward, removeForward, setVacation, removeVacation, showRulesLog,
	walkQueue, openQueued, handleQueue, routeTo, relayState, explain, mtaSTS, traceMail,
	checkSteps, keyStatus, sealStore, backupStore, whoServes,
}

func routes(o Operations) http.Handler {
	mux := http.NewServeMux()
	for _, op := range offered {
		op.answer(mux, o)
	}
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		send(w, http.StatusNotFound, refuse("the server runs another version than this command: restart it", "the server does not know %s", r.URL.Path))
	})
	return mux
}

// answer is the server's side: JSON in, JSON out, a refusal as 422.
func (op operation[In, Out]) answer(mux *http.ServeMux, o Operations) {
	mux.HandleFunc("POST "+op.path, func(w http.ResponseWriter, r *http.Request) {
		var in In
		if !receive(w, r, &in) {
			return
		}
		out, err := op.do(o, r.Context(), in)
		if err != nil {
			send(w, http.StatusUnprocessableEntity, refusalOf(err))
			return
		}
		send(w, http.StatusOK, out)
	})
}

// receive reads the arguments, or answers that they cannot be read. One that we
// do not know is not passed over: it would not be done, and nobody would know.
func receive(w http.ResponseWriter, r *http.Request, in any) bool {
	body := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxRequest))
	body.DisallowUnknownFields()
	err := body.Decode(in)
	if err != nil {
		send(w, http.StatusBadRequest, refuse("the server may run another version than this command: restart it", "read the request: %v", err))
	}
	return err == nil
}

func send(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(v) // the peer is gone where this fails
}
