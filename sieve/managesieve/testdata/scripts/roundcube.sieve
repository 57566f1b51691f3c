require ["fileinto","imap4flags","copy","vacation"];
# rule:[Newsletters]
if anyof (header :contains "list-id" "news.example.org", header :contains "from" "news@")
{
	fileinto "Lists.News";
	stop;
}
# rule:[Away]
if true
{
	vacation :days 3 :addresses ["ann@example.org"] :subject "Away" text:
I am away.
..
.
;
}
