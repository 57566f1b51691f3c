// What ann does in Thunderbird's window: each function is one act of hers, and
// answers what she sees then. They run inside Thunderbird, with its rights.
const { MailServices } = ChromeUtils.importESModule("resource:///modules/MailServices.sys.mjs");
const { setTimeout } = ChromeUtils.importESModule("resource://gre/modules/Timer.sys.mjs");
const flags = Ci.nsMsgFolderFlags;
const patience = 30000; // milliseconds

// until waits for what Thunderbird gives no event for.
async function until(what, isSo) {
  for (const start = Date.now(); Date.now() - start < patience; ) {
    const got = await isSo();
    if (got) return got;
    await new Promise(again => setTimeout(again, 20));
  }
  throw new Error(`still waiting after ${patience} ms until ${what}`);
}

const mainWindow = () => until("the window is open", () => {
  const window = Services.wm.getMostRecentWindow("mail:3pane");
  return window?.document.getElementById("tabmail")?.currentAbout3Pane?.threadTree && window;
});
const server = () => MailServices.accounts.findServer("ann@example.org", "localhost", "imap");
const folder = flag => until(`folder ${flag} is there`, () => server().rootFolder.getFolderWithFlags(flag));
const letters = box => [...box.messages];
const title = letter => (letter.flags & Ci.nsMsgMessageFlags.HasRe ? "Re: " : "") + letter.mime2DecodedSubject;
const shows = letter => ({
  subject: title(letter),
  from: letter.mime2DecodedAuthor,
  read: letter.isRead,
  starred: letter.isFlagged,
  tags: letter.getStringProperty("keywords"),
});

async function letter(box, subject) {
  return until(`${subject} is in ${box.name}`, () => letters(box).find(l => title(l) == subject));
}

// finished is a listener that answers when a copy or a deletion is over.
function finished(start) {
  return new Promise((resolve, reject) => start({
    QueryInterface: ChromeUtils.generateQI(["nsIMsgCopyServiceListener"]),
    onStartCopy() {}, onProgress() {}, setMessageKey() {}, getMessageId: () => null,
    onStopCopy: status => Components.isSuccessCode(status) ? resolve() : reject(new Error(`status ${status.toString(16)}`)),
  }));
}

const acts = {
  // meetServer trusts the server's CA and makes the account.
  async meetServer(ca, port, password) {
    Cc["@mozilla.org/security/x509certdb;1"].getService(Ci.nsIX509CertDB).addCertFromBase64(ca, "C,,");
    const login = Cc["@mozilla.org/login-manager/loginInfo;1"].createInstance(Ci.nsILoginInfo);
    login.init("imap://localhost", null, "imap://localhost", "ann@example.org", password, "", "");
    await Services.logins.addLoginAsync(login);
    const incoming = MailServices.accounts.createIncomingServer("ann@example.org", "localhost", "imap");
    incoming.port = port;
    incoming.socketType = Ci.nsMsgSocketType.SSL;
    incoming.authMethod = Ci.nsMsgAuthMethod.passwordCleartext;
    incoming.loginAtStartUp = incoming.doBiff = false; // only IDLE tells of new letters
    const identity = MailServices.accounts.createIdentity();
    identity.email = "ann@example.org";
    const account = MailServices.accounts.createAccount();
    account.addIdentity(identity);
    account.incomingServer = incoming;
  },

  // open shows a folder, and waits until so many letters are in it.
  async open(kind, count) {
    const pane = (await mainWindow()).document.getElementById("tabmail").currentAbout3Pane;
    const box = await folder(flags[kind]);
    pane.displayFolder(box.URI);
    await until(`${count} letters are in ${box.name}`, () => letters(box).length == count);
    return letters(box).map(shows);
  },

  async folders(count) {
    const root = server().rootFolder;
    await until(`${count} folders are there`, () => root.descendants.length == count);
    return root.descendants.map(f => f.name);
  },

  // threads answers the first subject of each thread, and how many letters it has.
  async threads() {
    const { gViewWrapper } = (await mainWindow()).document.getElementById("tabmail").currentAbout3Pane;
    gViewWrapper.showThreaded = true;
    const view = gViewWrapper.dbView;
    view.doCommand(Ci.nsMsgViewCommandType.collapseAll);
    return Array.from({ length: view.rowCount }, (_, row) => {
      const thread = view.getThreadContainingIndex(row);
      return { subject: view.cellTextForColumn(row, "subjectCol"), letters: thread.numChildren };
    });
  },

  // read opens a letter of the inbox in the message pane, as a click does.
  async read(subject) {
    const pane = (await mainWindow()).document.getElementById("tabmail").currentAbout3Pane;
    const opened = await letter(await folder(flags.Inbox), subject);
    pane.gViewWrapper.showUnthreaded = true;
    pane.threadTree.selectedIndex = await until("it is in the list", () => {
      const row = pane.gDBView.findIndexOfMsgHdr(opened, true);
      return row < pane.gDBView.rowCount && row + 1;
    }) - 1;
    const message = pane.messageBrowser.contentWindow;
    await until("it is shown", () => message.msgLoaded && message.gMessage?.messageKey == opened.messageKey);
    await until("it is marked as read", () => opened.isRead);
    const attachments = [];
    for (const a of message.currentAttachments) {
      attachments.push({ name: a.name, octets: [...new Uint8Array(await a.fetchAttachment())] });
    }
    return { text: message.getMessagePaneBrowser().contentDocument.body.textContent, attachments };
  },

  // takeAlong downloads all letters, to be read where there is no net.
  async takeAlong() {
    const inbox = await folder(flags.Inbox);
    inbox.downloadAllForOffline(null, null);
    await until("all are here", () => letters(inbox).every(l => l.flags & Ci.nsMsgMessageFlags.Offline));
  },

  async star(subject) {
    const box = await folder(flags.Inbox);
    box.markMessagesFlagged([await letter(box, subject)], true);
  },
  async markUnread(subject) {
    const box = await folder(flags.Inbox);
    box.markMessagesRead([await letter(box, subject)], false);
  },
  async tag(subject, keyword) {
    const box = await folder(flags.Inbox);
    box.addKeywordsToMessages([await letter(box, subject)], keyword);
  },
  async archive(subject) {
    const [from, to] = [await folder(flags.Inbox), await folder(flags.Archive)];
    const moved = [await letter(from, subject)];
    await finished(done => MailServices.copy.copyMessages(from, moved, to, true, done, null, false));
  },
  async bin(subject) {
    const box = await folder(flags.Inbox);
    const gone = [await letter(box, subject)];
    await finished(done => box.deleteMessages(gone, null, false, false, done, false));
  },
  // destroy deletes past the bin, and compacts, which is Thunderbird's word for EXPUNGE.
  async destroy(subject) {
    const box = await folder(flags.Inbox);
    box.deleteMessages([await letter(box, subject)], null, true, false, null, false);
    await until(`${subject} is gone here`, () => !letters(box).some(l => title(l) == subject));
    box.compact(null, null);
  },

  // sees waits until a letter of the inbox looks as it should.
  async sees(subject, look) {
    const found = await letter(await folder(flags.Inbox), subject);
    await until(`${subject} is ${JSON.stringify(look)}`, () => Object.keys(look).every(k => shows(found)[k] == look[k]));
  },
  async misses(subject) {
    const inbox = await folder(flags.Inbox);
    await until(`${subject} is gone`, () => !letters(inbox).some(l => title(l) == subject));
  },

  // search asks the server for a word in the text, and answers subjects.
  async search(word) {
    const session = Cc["@mozilla.org/messenger/searchSession;1"].createInstance(Ci.nsIMsgSearchSession);
    session.addScopeTerm(Ci.nsMsgSearchScope.onlineMail, await folder(flags.Inbox));
    const term = session.createTerm();
    const value = term.value;
    term.attrib = value.attrib = Ci.nsMsgSearchAttrib.Body;
    term.op = Ci.nsMsgSearchOp.Contains;
    value.str = word;
    term.value = value;
    session.appendTerm(term);
    const found = [];
    await new Promise(over => {
      session.registerListener({
        QueryInterface: ChromeUtils.generateQI(["nsIMsgSearchNotify"]),
        onSearchHit: hit => found.push(hit.mime2DecodedSubject),
        onSearchDone: over, onNewSearch() {},
      });
      session.search(null);
    });
    return found;
  },

  // draft keeps a file in Drafts.
  async draft(path) {
    const file = Cc["@mozilla.org/file/local;1"].createInstance(Ci.nsIFile);
    file.initWithPath(path);
    const drafts = await folder(flags.Drafts);
    await finished(done => MailServices.copy.copyFileMessage(file, drafts, null, true, Ci.nsMsgMessageFlags.Read, "", done, null));
  },

  // listen keeps the next letter that comes into the inbox for heard.
  async listen() {
    const [window, inbox] = [await mainWindow(), await folder(flags.Inbox)];
    window.nextLetter = new Promise(tell => {
      const listener = {
        msgAdded(letter) {
          if (letter.folder != inbox) return;
          MailServices.mfn.removeListener(listener);
          tell(title(letter));
        },
      };
      MailServices.mfn.addListener(listener, MailServices.mfn.msgAdded);
    });
  },
  heard: async () => (await mainWindow()).nextLetter,
};
