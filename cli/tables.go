package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"
)

// tableOf makes the rows of a table of an answer; the first row is the head.
type tableOf func(answer json.RawMessage) ([][]string, error)

// table is the tableOf whose rows come from the answer decoded as a T.
func table[T any](rows func(*T) [][]string) tableOf {
	return func(answer json.RawMessage) ([][]string, error) {
		var v T
		if err := json.Unmarshal(answer, &v); err != nil {
			return nil, fmt.Errorf("the answer is not what an Ottla server gives: %w", err)
		}
		return rows(&v), nil
	}
}

// show prints an answer, either as indented JSON or as the table that rows makes
// of it.
func (r *remote) show(answer json.RawMessage, rows tableOf) error {
	if r.output == "json" {
		return printJSON(r.p.stdout, answer)
	}
	cells, err := rows(answer)
	if err != nil {
		return err
	}
	return printTable(r.p.stdout, cells)
}

// printJSON prints indented JSON; numbers stay digit for digit.
func printJSON(w io.Writer, text json.RawMessage) error {
	var b strings.Builder
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(text); err != nil {
		return fmt.Errorf("print: %w", err)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// printTable prints rows in columns; the first row is the head. Control characters
// in stored data do not reach the terminal.
func printTable(w io.Writer, rows [][]string) error {
	tw := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	for _, row := range rows {
		for i, cell := range row {
			if i > 0 {
				fmt.Fprint(tw, "\t")
			}
			fmt.Fprint(tw, printable(cell))
		}
		fmt.Fprintln(tw)
	}
	return tw.Flush()
}

func printable(s string) string {
	if s == "" {
		return "-"
	}
	return strings.Map(func(c rune) rune {
		if !unicode.IsGraphic(c) {
			return '?' // it could move the cursor, or turn the line round
		}
		return c
	}, s)
}

// number is an offset, an id or a count as text.
func number[T ~int64](n T) string { return strconv.FormatInt(int64(n), 10) }

// when is a time as the API writes it, "" for none.
func when(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.Format(time.RFC3339Nano)
}
