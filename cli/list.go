package cli

import (
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strconv"

	"github.com/spf13/cobra"

	ottla "ottla/client"
	"ottla/protocol"
)

// listPage is how many rows of a list are asked for at once.
const listPage = 1000

// list asks for a list, which is the field name of the answers, page by page, and shows it
// whole.
func (r *remote) list(cmd *cobra.Command, path, name string, q []string, rows tableOf) error {
	all := []json.RawMessage{}
	for after := ""; ; {
		answer, err := r.call(cmd, request{
			method: http.MethodGet, path: path,
			query: query(append(slices.Clone(q), "limit", strconv.Itoa(listPage), "after", after)...),
		})
		if isUnknownParameter(err) { // a server that has no pages
			return r.get(cmd, path, q, rows)
		}
		if err != nil {
			return err
		}
		var page map[string]json.RawMessage
		var some []json.RawMessage
		if json.Unmarshal(answer, &page) != nil || json.Unmarshal(page[name], &some) != nil {
			return r.show(answer, rows) // which says what is wrong with it
		}
		all, after = append(all, some...), ""
		if next := page["next"]; next != nil {
			if err := json.Unmarshal(next, &after); err != nil {
				return err
			}
		}
		if after == "" {
			break
		}
	}
	answer, err := json.Marshal(map[string][]json.RawMessage{name: all})
	if err != nil {
		return err
	}
	return r.show(answer, rows)
}

func isUnknownParameter(err error) bool {
	var refused *ottla.Error
	return errors.As(err, &refused) && refused.Code == protocol.CodeUnknownParameter.Name
}
