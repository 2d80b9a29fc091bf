// Command grafana writes the dashboards of this folder: go run ./deploy/grafana (from the repository's root). A test
// checks that the committed files are what it writes.
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
)

func main() {
	for _, d := range dashboards() {
		data, err := d.json()
		if err == nil {
			err = os.WriteFile(filepath.Join("deploy", "grafana", "dashboards", d.UID+".json"), data, 0o600)
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, "grafana:", err)
			os.Exit(1)
		}
	}
}

// dashboard is what we use of Grafana's dashboard model, schema version 39.
type dashboard struct {
	UID           string   `json:"uid"`
	Title         string   `json:"title"`
	Tags          []string `json:"tags"`
	SchemaVersion int      `json:"schemaVersion"`
	Editable      bool     `json:"editable"`
	Refresh       string   `json:"refresh"`
	Time          span     `json:"time"`
	Templating    list     `json:"templating"`
	Panels        []panel  `json:"panels"`
}

type span struct {
	From string `json:"from"`
	To   string `json:"to"`
}

type list struct {
	List []variable `json:"list"`
}

type variable struct {
	Name  string `json:"name"`
	Label string `json:"label"`
	Type  string `json:"type"`
	Query string `json:"query"`
}

type panel struct {
	ID          int         `json:"id"`
	Type        string      `json:"type"`
	Title       string      `json:"title"`
	Description string      `json:"description"`
	Datasource  source      `json:"datasource"`
	GridPos     grid        `json:"gridPos"`
	FieldConfig fieldConfig `json:"fieldConfig"`
	Targets     []target    `json:"targets"`
}

type source struct {
	Type string `json:"type"`
	UID  string `json:"uid"`
}

type grid struct {
	H int `json:"h"`
	W int `json:"w"`
	X int `json:"x"`
	Y int `json:"y"`
}

type fieldConfig struct {
	Defaults  fieldDefaults `json:"defaults"`
	Overrides []struct{}    `json:"overrides"`
}

type fieldDefaults struct {
	Unit string `json:"unit"`
}

type target struct {
	RefID        string `json:"refId"`
	Expr         string `json:"expr"`
	LegendFormat string `json:"legendFormat"`
}

func (d dashboard) json() ([]byte, error) {
	data, err := json.MarshalIndent(d, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("%s: %w", d.UID, err)
	}
	return append(data, '\n'), nil
}

// build lays panels out, two in a row, and makes every one ask the dashboard's data source.
func build(uid, title string, panels ...panel) dashboard {
	for i := range panels {
		p := &panels[i]
		p.ID, p.Type = i+1, "timeseries"
		p.Datasource = source{"prometheus", "${datasource}"}
		p.GridPos = grid{H: 8, W: 12, X: i % 2 * 12, Y: i / 2 * 8}
		p.FieldConfig.Overrides = []struct{}{}
	}
	return dashboard{
		UID: uid, Title: title, Tags: []string{"redoubt"}, SchemaVersion: 39, Refresh: "30s",
		Time:       span{"now-6h", "now"},
		Templating: list{[]variable{{"datasource", "Data source", "datasource", "prometheus"}}},
		Panels:     panels,
	}
}

// graph is a panel of one or more queries, each with its legend: graph(title, about, unit, expr, legend, ...).
func graph(title, about, unit string, queries ...string) panel {
	p := panel{Title: title, Description: about}
	p.FieldConfig.Defaults.Unit = unit
	for i := 0; i+1 < len(queries); i += 2 {
		p.Targets = append(p.Targets, target{string(rune('A' + i/2)), queries[i], queries[i+1]})
	}
	return p
}
