// Writes tests/schemas: what kubeconform holds the manifests to, one file for each Kubernetes version. It takes the API as
// that version publishes it, and the CRDs, and keeps the kinds below with what they are made of, without descriptions.
// Only the API server writes `status`, and a field that is not known is refused. To run it, after a change of what
// is listed below:
//
//	cd tests/tools && go run ./schemas
package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sort"
	"strings"

	"sigs.k8s.io/yaml"
)

var kubernetes = []string{"v1.34.4", "v1.35.4", "v1.36.3"}

var kinds = []string{
	"admissionregistration.k8s.io/v1 ValidatingAdmissionPolicy",
	"admissionregistration.k8s.io/v1 ValidatingAdmissionPolicyBinding",
	"apps/v1 Deployment",
	"batch/v1 CronJob",
	"batch/v1 Job",
	"coordination.k8s.io/v1 Lease",
	"networking.k8s.io/v1 NetworkPolicy",
	"rbac.authorization.k8s.io/v1 ClusterRole",
	"rbac.authorization.k8s.io/v1 ClusterRoleBinding",
	"rbac.authorization.k8s.io/v1 Role",
	"rbac.authorization.k8s.io/v1 RoleBinding",
	"v1 ConfigMap",
	"v1 Event",
	"v1 Namespace",
	"v1 PersistentVolumeClaim",
	"v1 Pod",
	"v1 Secret",
	"v1 Service",
	"v1 ServiceAccount",
}

// CRDs by module and file.
var crds = [][3]string{
	{"github.com/kubernetes-csi/external-snapshotter/client/v8", "v8.7.0", "config/crd/snapshot.storage.k8s.io_volumesnapshots.yaml"},
	{"github.com/kubernetes-csi/external-snapshotter/client/v8", "v8.7.0", "config/crd/snapshot.storage.k8s.io_volumesnapshotclasses.yaml"},
	{"github.com/prometheus-operator/prometheus-operator", "v0.85.0", "example/prometheus-operator-crd/monitoring.coreos.com_prometheusrules.yaml"},
	{"github.com/prometheus-operator/prometheus-operator", "v0.85.0", "example/prometheus-operator-crd/monitoring.coreos.com_servicemonitors.yaml"},
}

// The one definition that the CRDs need too.
const objectMeta = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"

// Definitions whose JSON is not what their type says.
var special = map[string]node{
	"io.k8s.apimachinery.pkg.api.resource.Quantity":           {"type": []string{"number", "string"}},
	"io.k8s.apimachinery.pkg.util.intstr.IntOrString":         {"type": []string{"integer", "string"}},
	"io.k8s.apimachinery.pkg.apis.meta.v1.FieldsV1":           {"type": "object"},
	"io.k8s.apimachinery.pkg.runtime.RawExtension":            {"type": "object"},
	"io.k8s.apimachinery.pkg.apis.meta.v1.ManagedFieldsEntry": {"not": node{}}, // the API server's alone
}

type node = map[string]any

func main() {
	log.SetFlags(0)
	if _, err := os.Stat("schemas/main.go"); err != nil {
		log.Fatal("run it in tests/tools: go run ./schemas")
	}
	for _, version := range kubernetes {
		path := filepath.Join("..", "schemas", version+".json")
		if err := os.WriteFile(path, schema(version), 0o644); err != nil {
			log.Fatal(err)
		}
	}
}

// schema is one version's file, with a definition a line.
func schema(version string) []byte {
	var api struct {
		Definitions map[string]node
	}
	read(file("k8s.io/kubernetes", version, "api/openapi-spec/swagger.json"), &api)

	byKind := node{} // "v1 Pod" -> its schema
	for name, definition := range api.Definitions {
		for _, of := range list(definition["x-kubernetes-group-version-kind"]) {
			apiVersion := strings.TrimPrefix(fmt.Sprint(of["group"], "/", of["version"]), "/")
			if kind := fmt.Sprint(apiVersion, " ", of["kind"]); slices.Contains(kinds, kind) && definition["properties"] != nil {
				byKind[kind] = root(definition, apiVersion, of["kind"])
				delete(api.Definitions, name)
			}
		}
	}
	if len(byKind) != len(kinds) {
		log.Fatalf("%s has %d of the %d kinds", version, len(byKind), len(kinds))
	}
	for _, crd := range crds {
		kind, definition := custom(file(crd[0], crd[1], crd[2]))
		byKind[kind] = definition
	}

	definitions := node{}
	for _, definition := range byKind {
		need(definition, api.Definitions, definitions)
	}
	return write(byKind, definitions)
}

// custom is the kind of a CRD's version v1, and the schema of its objects.
func custom(path string) (string, node) {
	var crd struct {
		Spec struct {
			Group string
			Names struct {
				Kind string
			}
			Versions []struct {
				Name   string
				Schema struct {
					OpenAPIV3Schema node
				}
			}
		}
	}
	read(path, &crd)
	for _, version := range crd.Spec.Versions {
		if version.Name == "v1" {
			apiVersion := crd.Spec.Group + "/v1"
			version.Schema.OpenAPIV3Schema["properties"].(node)["metadata"] = node{"$ref": "#/definitions/" + objectMeta}
			return apiVersion + " " + crd.Spec.Names.Kind, root(version.Schema.OpenAPIV3Schema, apiVersion, crd.Spec.Names.Kind)
		}
	}
	log.Fatalf("%s has no version v1", path)
	return "", nil
}

// root is the schema of a whole manifest.
func root(definition node, apiVersion string, kind any) node {
	result := strip(definition)
	properties := result["properties"].(node)
	delete(properties, "status")
	properties["apiVersion"] = node{"const": apiVersion}
	properties["kind"] = node{"const": kind}
	required := []any{"apiVersion", "kind", "metadata"}
	if old, ok := result["required"].([]any); ok {
		required = append(required, old...)
	}
	sort.Slice(required, func(i, j int) bool { return required[i].(string) < required[j].(string) })
	result["required"] = slices.Compact(required)
	return result
}

// strip keeps of a schema what a manifest can be held to, and closes it.
func strip(schema node) node {
	if schema["x-kubernetes-int-or-string"] == true {
		return node{"type": []string{"integer", "string"}}
	}
	result := node{}
	for _, key := range []string{"$ref", "type", "enum", "pattern", "minimum", "maximum", "minLength", "maxLength", "minItems", "maxItems", "required"} {
		if value, ok := schema[key]; ok {
			result[key] = value
		}
	}
	if items, ok := schema["items"].(node); ok {
		result["items"] = strip(items)
	}
	if values, ok := schema["additionalProperties"].(node); ok {
		result["additionalProperties"] = strip(values)
	}
	if properties, ok := schema["properties"].(node); ok {
		stripped := node{}
		for name, property := range properties {
			stripped[name] = strip(property.(node))
		}
		result["properties"] = stripped
		if schema["x-kubernetes-preserve-unknown-fields"] != true {
			result["additionalProperties"] = false
		}
	}
	return result
}

// need copies what a schema refers to, and what that refers to.
func need(value any, from map[string]node, to node) {
	switch value := value.(type) {
	case node:
		if ref, ok := value["$ref"].(string); ok {
			name := strings.TrimPrefix(ref, "#/definitions/")
			if _, ok := to[name]; ok {
				return
			}
			definition, ok := special[name]
			if !ok {
				if from[name] == nil {
					log.Fatalf("nothing defines %s", name)
				}
				definition = strip(from[name])
			}
			to[name] = definition
			need(definition, from, to)
		}
		for _, inner := range value {
			need(inner, from, to)
		}
	}
}

// write makes the file: whatever the kind says the object is, that it has to be.
func write(byKind, definitions node) []byte {
	var out bytes.Buffer
	var names []string
	line := func(indent, end string, value any) {
		text, err := json.Marshal(value)
		if err != nil {
			log.Fatal(err)
		}
		fmt.Fprintf(&out, "%s%s%s\n", indent, text, end)
	}
	sorted := func(of node) []string {
		var keys []string
		for key := range of {
			keys = append(keys, key)
		}
		sort.Strings(keys)
		return keys
	}
	comma := func(i, of int) string {
		if i == of-1 {
			return ""
		}
		return ","
	}

	for _, kind := range sorted(byKind) {
		_, name, _ := strings.Cut(kind, " ")
		names = append(names, name)
	}
	fmt.Fprintln(&out, "{\n  \"$schema\": \"http://json-schema.org/draft-07/schema#\",\n  \"required\": [\"apiVersion\", \"kind\"],\n  \"properties\": {\"kind\": {\"enum\":")
	line("    ", "}},", names)
	fmt.Fprintln(&out, "  \"allOf\": [")
	for i, kind := range sorted(byKind) {
		line("    ", comma(i, len(byKind)), node{
			"if":   node{"properties": node{"kind": node{"const": names[i]}}},
			"then": byKind[kind],
		})
	}
	fmt.Fprintln(&out, "  ],\n  \"definitions\": {")
	for i, name := range sorted(definitions) {
		fmt.Fprintf(&out, "    %q: ", name)
		line("", comma(i, len(definitions)), definitions[name])
	}
	fmt.Fprintln(&out, "  }\n}")
	return out.Bytes()
}

// file is where Go's module cache has a file of a module, which is fetched when it is not there.
func file(module, version, path string) string {
	download := exec.Command("go", "mod", "download", "-json", module+"@"+version)
	download.Dir = "/" // no module's go.mod has a say
	download.Stderr = os.Stderr
	out, err := download.Output()
	if err != nil {
		log.Fatalf("%s@%s: %v", module, version, err)
	}
	var where struct{ Dir string }
	if err := json.Unmarshal(out, &where); err != nil {
		log.Fatal(err)
	}
	return filepath.Join(where.Dir, path)
}

func read(path string, into any) {
	content, err := os.ReadFile(path)
	if err == nil {
		err = yaml.Unmarshal(content, into)
	}
	if err != nil {
		log.Fatalf("%s: %v", path, err)
	}
}

func list(value any) (result []node) {
	values, _ := value.([]any)
	for _, value := range values {
		result = append(result, value.(node))
	}
	return result
}
