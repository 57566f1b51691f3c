require ["fileinto","imap4flags","vacation"];

if allof (header :contains "subject" "Rechnung für") {
    addflag ["\\Flagged"];
    fileinto "INBOX/Büro";
    stop;
}
vacation :days 7 :addresses ["ann@example.org"] text:
Ich bin im Urlaub.
.
;

