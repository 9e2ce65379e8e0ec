// Checks a Grafana dashboard: `check-dashboard FILE`. Grafana's own schema, as its Foundation SDK has it, refuses fields that are
// not known, missing or of another type; what a schema cannot say is checked below.
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"slices"

	"github.com/grafana/grafana-foundation-sdk/go/cog/plugins"
	"github.com/grafana/grafana-foundation-sdk/go/common"
	"github.com/grafana/grafana-foundation-sdk/go/dashboard"
	"github.com/grafana/grafana-foundation-sdk/go/prometheus"
	"github.com/grafana/grafana-foundation-sdk/go/units"
)

// Panels and variables name the Prometheus that the user chooses.
const chosen = "${datasource}"

var knownUnits = []string{units.NoUnit, units.Seconds, units.BytesIEC}

const columns = 24

func main() {
	if len(os.Args) != 2 {
		fail("usage: check-dashboard FILE")
	}
	raw, err := os.ReadFile(os.Args[1])
	if err != nil {
		fail(err.Error())
	}
	plugins.RegisterDefaultPlugins()
	// This returns an error without a text when there is no problem, and no panels.
	var strict dashboard.Dashboard
	if err := strict.UnmarshalJSONStrict(raw); err != nil && err.Error() != "" {
		fail(err.Error())
	}
	var board dashboard.Dashboard
	if err := json.Unmarshal(raw, &board); err != nil {
		fail(err.Error())
	}
	if err := board.Validate(); err != nil {
		fail(err.Error())
	}
	problems := variables(board.Templating.List)
	ids, places := map[uint32]bool{}, map[[2]uint32]bool{}
	for _, entry := range board.Panels {
		if entry.Panel == nil {
			continue
		}
		problems = append(problems, panel(entry.Panel, ids, places)...)
	}
	if len(ids) == 0 {
		problems = append(problems, "there is no panel")
	}
	if len(problems) > 0 {
		fail(problems...)
	}
}

func fail(problems ...string) {
	for _, problem := range problems {
		fmt.Fprintln(os.Stderr, "check-dashboard:", problem)
	}
	os.Exit(1)
}

func is(value *string, wanted string) bool { return value != nil && *value == wanted }

func isChosen(source *common.DataSourceRef) bool {
	return source != nil && is(source.Type, "prometheus") && is(source.Uid, chosen)
}

// The data source is a variable, and lists follow the time range.
func variables(list []dashboard.VariableModel) (problems []string) {
	sources := 0
	for _, variable := range list {
		if variable.Label == nil || *variable.Label == "" {
			problems = append(problems, "the variable "+variable.Name+" has no label")
		}
		switch variable.Type {
		case dashboard.VariableTypeDatasource:
			sources++
			if "${"+variable.Name+"}" != chosen {
				problems = append(problems, "the variable of the data source is called "+variable.Name)
			}
		case dashboard.VariableTypeQuery:
			if !isChosen(variable.Datasource) {
				problems = append(problems, "the variable "+variable.Name+" does not ask "+chosen)
			}
			if variable.Refresh == nil || *variable.Refresh != dashboard.VariableRefreshOnTimeRangeChanged {
				problems = append(problems, "the variable "+variable.Name+" is not read again with another time range")
			}
		}
	}
	if sources != 1 {
		problems = append(problems, fmt.Sprint("there are ", sources, " variables of a data source"))
	}
	return problems
}

// What is wrong with a panel. `ids` and `places` are those of the panels before it.
func panel(panel *dashboard.Panel, ids map[uint32]bool, places map[[2]uint32]bool) (problems []string) {
	add := func(text string) { problems = append(problems, fmt.Sprintf("panel %q: %s", *panel.Title, text)) }
	if panel.Title == nil || *panel.Title == "" {
		return []string{"a panel has no title"}
	}
	if panel.Description == nil || *panel.Description == "" {
		add("it has no description")
	}
	if panel.Id == nil || ids[*panel.Id] {
		add("its id is missing, or that of another")
	} else {
		ids[*panel.Id] = true
	}
	if !isChosen(panel.Datasource) {
		add("it does not ask " + chosen)
	}
	queries := []string{}
	for _, target := range panel.Targets {
		query, ok := target.(*prometheus.Dataquery)
		if !ok {
			add(fmt.Sprintf("a %T is not a query of Prometheus", target))
			continue
		}
		if query.RefId == nil || slices.Contains(queries, *query.RefId) {
			add("the name of a query is missing, or that of another")
			continue
		}
		queries = append(queries, *query.RefId)
		if !isChosen(query.Datasource) {
			add("query " + *query.RefId + " does not ask " + chosen)
		}
	}
	if len(queries) == 0 {
		add("it has no query")
	}
	if unit := unitOf(panel); !slices.Contains(knownUnits, unit) {
		add("its unit is " + unit)
	}
	if panel.GridPos == nil || panel.GridPos.X+panel.GridPos.W > columns {
		add("it is not within the columns of a dashboard")
		return problems
	}
	for x := range panel.GridPos.W {
		for y := range panel.GridPos.H {
			place := [2]uint32{panel.GridPos.X + x, panel.GridPos.Y + y}
			if places[place] {
				add("it covers another")
				return problems
			}
			places[place] = true
		}
	}
	return problems
}

// The columns of a table each have their own.
func unitOf(panel *dashboard.Panel) string {
	if panel.FieldConfig == nil || panel.FieldConfig.Defaults.Unit == nil {
		if panel.Type == "table" {
			return units.NoUnit
		}
		return "missing"
	}
	return *panel.FieldConfig.Defaults.Unit
}
