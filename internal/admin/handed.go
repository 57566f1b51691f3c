package admin

import "context"

// The operations, each handed on.

func (c *Client) AddUser(ctx context.Context, in Login) (User, error) {
	return addUser.call(ctx, c, in)
}

func (c *Client) SetPassword(ctx context.Context, in Login) (User, error) {
	return setPassword.call(ctx, c, in)
}

func (c *Client) RemoveUser(ctx context.Context, address string) (User, error) {
	return removeUser.call(ctx, c, address)
}

func (c *Client) Users(ctx context.Context) ([]User, error) {
	return listUsers.call(ctx, c, nothing{})
}

func (c *Client) AddAlias(ctx context.Context, in Alias) (Alias, error) {
	return addAlias.call(ctx, c, in)
}

func (c *Client) RemoveAlias(ctx context.Context, in Alias) (Alias, error) {
	return removeAlias.call(ctx, c, in)
}

func (c *Client) Aliases(ctx context.Context) ([]Alias, error) {
	return listAliases.call(ctx, c, nothing{})
}

func (c *Client) Quota(ctx context.Context, address string) (Quota, error) {
	return showQuota.call(ctx, c, address)
}

func (c *Client) SetQuota(ctx context.Context, in Limits) (Quota, error) {
	return setQuota.call(ctx, c, in)
}

func (c *Client) Release(ctx context.Context, address string) (Release, error) {
	return showRelease.call(ctx, c, address)
}

func (c *Client) SetRelease(ctx context.Context, in Release) (Release, error) {
	return setRelease.call(ctx, c, in)
}

func (c *Client) PutScript(ctx context.Context, in ScriptPut) (Script, error) {
	return putScript.call(ctx, c, in)
}

func (c *Client) Scripts(ctx context.Context, address string) ([]Script, error) {
	return listScripts.call(ctx, c, address)
}

func (c *Client) Script(ctx context.Context, in ScriptName) (Script, error) {
	return showScript.call(ctx, c, in)
}

func (c *Client) ActivateScript(ctx context.Context, in ScriptName) (Script, error) {
	return activateScript.call(ctx, c, in)
}

func (c *Client) RemoveScript(ctx context.Context, in ScriptName) (Script, error) {
	return removeScript.call(ctx, c, in)
}

func (c *Client) Managed(ctx context.Context, address string) (Managed, error) {
	return showManaged.call(ctx, c, address)
}

func (c *Client) AddForward(ctx context.Context, in Forward) (Managed, error) {
	return addForward.call(ctx, c, in)
}

func (c *Client) RemoveForward(ctx context.Context, in Forward) (Managed, error) {
	return removeForward.call(ctx, c, in)
}

func (c *Client) SetVacation(ctx context.Context, in Vacation) (Managed, error) {
	return setVacation.call(ctx, c, in)
}

func (c *Client) RemoveVacation(ctx context.Context, address string) (Managed, error) {
	return removeVacation.call(ctx, c, address)
}

func (c *Client) RulesLog(ctx context.Context, address string) (RulesLog, error) {
	return showRulesLog.call(ctx, c, address)
}

func (c *Client) QueueLetter(ctx context.Context, id string) (QueueLetter, error) {
	return openQueued.call(ctx, c, id)
}

func (c *Client) Route(ctx context.Context, in RouteQuery) (Way, error) {
	return routeTo.call(ctx, c, in)
}

func (c *Client) RelayState(ctx context.Context) (RelayState, error) {
	return relayState.call(ctx, c, nothing{})
}

func (c *Client) Explain(ctx context.Context, in ExplainQuery) (Explanation, error) {
	return explain.call(ctx, c, in)
}

func (c *Client) MTASTS(ctx context.Context, in STSQuery) (STS, error) {
	return mtaSTS.call(ctx, c, in)
}

func (c *Client) Queue(ctx context.Context, in Selection, told func(QueueRow)) error {
	return walkQueue.call(ctx, c, in, told)
}

func (c *Client) HandleQueue(ctx context.Context, in QueueOrder, told func(QueueRow)) error {
	return handleQueue.call(ctx, c, in, told)
}

func (c *Client) Trace(ctx context.Context, in TraceQuery, told func(TraceRecord)) error {
	return traceMail.call(ctx, c, in, told)
}

func (c *Client) CheckSteps(ctx context.Context, told func(CheckNews)) error {
	return checkSteps.call(ctx, c, nothing{}, told)
}

func (c *Client) Keys(ctx context.Context) (KeyStatus, error) {
	return keyStatus.call(ctx, c, nothing{})
}

func (c *Client) Seal(ctx context.Context, in SealOrder, told func(Steps)) error {
	return sealStore.call(ctx, c, in, told)
}

func (c *Client) Backup(ctx context.Context, dir string, told func(Progress)) error {
	return backupStore.call(ctx, c, dir, told)
}

func (c *Client) Server(ctx context.Context) (Server, error) {
	return whoServes.call(ctx, c, nothing{})
}
