package cli

import (
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"ottla/protocol"
)

func newSubscription(p *process) *cobra.Command {
	r := &remote{p: p}
	cmd := family("subscription", "Create, list, describe, pause, resume and delete subscriptions, which send records to URLs",
		newSubscriptionCreate(r), newSubscriptionList(r), newSubscriptionDescribe(r),
		newSubscriptionSwitch(r, "pause", true), newSubscriptionSwitch(r, "resume", false), newSubscriptionDelete(r))
	r.addFlags(cmd)
	return cmd
}

func newSubscriptionCreate(r *remote) *cobra.Command {
	var topics, headers []string
	var secret secretFlags
	cmd := &cobra.Command{
		Use:   "create NAME --topic TOPIC --url URL",
		Short: "Send the records of topics to a URL",
		Long: "Send the records of topics to a URL, each at least once, by POST. Creating it again\n" +
			"replaces its settings; secret and headers have to be given again. --header is one of\n" +
			"the deliveries here: a header for a proxy in front of the server needs a context\n" +
			"('ottla context add --header').",
		Example: "  ottla subscription create shop --topic orders --url https://shop.example/hooks --generate-secret > shop.secret\n" +
			"  ottla subscription create audit --topic orders --topic refunds --url https://audit.example/in --batch 100 --order none --header 'Authorization: Bearer x'",
		Args: exactArgs("a NAME"),
	}
	flags := cmd.Flags()
	flags.StringArrayVar(&topics, "topic", nil, "`TOPIC` whose records are sent; repeatable (required)")
	flags.StringArrayVar(&headers, "header", nil, "`HEADER` such as 'Authorization: Bearer x' that deliveries have; repeatable")
	flags.String("url", "", "`URL` that they are sent to (required)")
	flags.String("cluster", "", "the topics' cluster")
	flags.String("group", "", "`GROUP` that commits what is delivered (default: subscription-NAME)")
	flags.String("from", "earliest", "where it starts: earliest or latest")
	flags.Int("batch", 1, "records in one delivery at most; above 1 they come as an array")
	timeout := msFlag(10_000)
	flags.Var(&timeout, "timeout", "how long one delivery may take, such as 500ms or 10s")
	flags.Int("max-deliveries", 20, "after so many, records are dead letters")
	flags.String("dead-letter-topic", "", "`TOPIC` of dead letters (default: the record's, followed by .dead)")
	flags.String("order", "partition", "what is kept in order: partition, key or none")
	flags.Bool("paused", false, "send nothing yet")
	secret.add(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if len(topics) == 0 || !cmd.Flags().Changed("url") {
			return usageError{fmt.Errorf("%s needs --topic and --url", cmd.CommandPath())}
		}
		key, err := secret.take(r.p)
		if err != nil {
			return err
		}
		fields := changed(cmd.Flags(), map[string]string{"timeout": "timeout_ms"})
		for _, own := range []string{"topic", "header", "secret", "secret_file", "generate_secret"} {
			delete(fields, own)
		}
		fields["topics"] = topics
		if key != "" {
			fields["secret"] = key
		}
		if len(headers) > 0 {
			sent := map[string]string{}
			for _, h := range headers {
				name, value, found := strings.Cut(h, ":")
				name = strings.TrimSpace(name)
				if !found || !headerName.MatchString(name) {
					return usageError{errors.New("a --header is not such as 'Authorization: Bearer x'")} // it may be a secret
				}
				sent[name] = strings.TrimSpace(value)
			}
			fields["headers"] = sent
		}
		return r.put(cmd, path("subscriptions", args[0]), fields, &secret, key, table(describeSubscription))
	}
	return cmd
}

// subscriptionAnswer is a subscription as the API describes it.
type subscriptionAnswer struct {
	protocol.SubscriptionSpec
	DeadLetter *string  `json:"dead_letter_topic"`
	Signed     bool     `json:"signed"`
	Headers    struct{} `json:"headers"`
	protocol.SubscriptionState
}

func newSubscriptionList(r *remote) *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List subscriptions and how their deliveries go", Args: exactArgs(),
		Example: "  ottla subscription list",
		RunE: func(cmd *cobra.Command, _ []string) error {
			return r.list(cmd, "/subscriptions", "subscriptions", nil, table(subscriptionRows))
		},
	}
}

func newSubscriptionDescribe(r *remote) *cobra.Command {
	return &cobra.Command{
		Use: "describe NAME", Short: "Show a subscription and how its deliveries go", Args: exactArgs("a NAME"),
		Example: "  ottla subscription describe shop",
		RunE: func(cmd *cobra.Command, args []string) error {
			return r.get(cmd, path("subscriptions", args[0]), nil, table(describeSubscription))
		},
	}
}

// newSubscriptionSwitch is `subscription pause` or `subscription resume`.
func newSubscriptionSwitch(r *remote, verb string, paused bool) *cobra.Command {
	return &cobra.Command{
		Use:     verb + " NAME",
		Short:   strings.ToUpper(verb[:1]) + verb[1:] + " the deliveries of a subscription",
		Example: "  ottla subscription " + verb + " shop",
		Args:    exactArgs("a NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return r.change(cmd, http.MethodPatch, path("subscriptions", args[0]), nil, map[string]any{"paused": paused}, table(describeSubscription))
		},
	}
}

func newSubscriptionDelete(r *remote) *cobra.Command {
	return &cobra.Command{
		Use: "delete NAME", Short: "Delete a subscription; its group stays", Args: exactArgs("a NAME"),
		Example: "  ottla subscription delete shop",
		RunE: func(cmd *cobra.Command, args []string) error {
			return r.remove(cmd, path("subscriptions", args[0]), nil, "subscription "+args[0])
		},
	}
}

func subscriptionRows(a *struct{ Subscriptions []subscriptionAnswer }) [][]string {
	rows := [][]string{{"NAME", "TOPICS", "STATE", "LAG", "STATUS", "FAILING SINCE", "URL"}}
	for i := range a.Subscriptions {
		s := &a.Subscriptions[i]
		rows = append(rows, []string{s.Name, strings.Join(s.Topics, " "), s.State, optional(s.Lag), status(s.LastStatus), whenever(s.FailingSince), s.URL})
	}
	return rows
}

func describeSubscription(s *subscriptionAnswer) [][]string {
	dead := "the record's, followed by " + protocol.DeadSuffix
	if s.DeadLetter != nil {
		dead = *s.DeadLetter
	}
	state := s.State
	if s.PausedBecause != "" {
		state += ": " + s.PausedBecause
	}
	return [][]string{
		{"NAME", s.Name},
		{"STATE", state},
		{"LAG", optional(s.Lag)},
		{"LAST STATUS", status(s.LastStatus)},
		{"LAST ERROR", s.LastError},
		{"LAST ATTEMPT", whenever(s.LastAttemptAt)},
		{"FAILING SINCE", whenever(s.FailingSince)},
		{"URL", s.URL},
		{"TOPICS", strings.Join(s.Topics, " ")},
		{"CLUSTER", s.Cluster},
		{"GROUP", s.Group},
		{"BATCH", strconv.Itoa(s.Batch)},
		{"ORDER", string(s.Order)},
		{"TIMEOUT", (time.Duration(s.TimeoutMs) * time.Millisecond).String()},
		{"SIGNED", strconv.FormatBool(s.Signed)},
		{"MAX DELIVERIES", strconv.Itoa(s.MaxDeliveries)},
		{"DEAD LETTERS", dead},
	}
}

func status(n *int) string {
	if n == nil {
		return ""
	}
	return strconv.Itoa(*n)
}

func whenever(t *time.Time) string {
	if t == nil {
		return ""
	}
	return when(*t)
}
