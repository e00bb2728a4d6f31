// Lists the tools of a gateway and calls each: URL, revision or `auto`, and the calls as JSON.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"log"
	"os"

	"github.com/modelcontextprotocol/go-sdk/mcp"
)

func main() {
	ctx := context.Background()
	var calls map[string]map[string]any
	if err := json.Unmarshal([]byte(os.Args[3]), &calls); err != nil {
		log.Fatal(err)
	}
	client := mcp.NewClient(&mcp.Implementation{Name: "test", Version: "1"}, nil)
	options := &mcp.ClientSessionOptions{}
	if os.Args[2] != "auto" {
		options.ProtocolVersion = os.Args[2]
	}
	session, err := client.Connect(ctx, &mcp.StreamableClientTransport{Endpoint: os.Args[1]}, options)
	if err != nil {
		log.Fatal(err)
	}
	defer session.Close()
	listed, err := session.ListTools(ctx, nil)
	if err != nil {
		log.Fatal(err)
	}
	names := []string{}
	failed := map[string]any{}
	for _, tool := range listed.Tools {
		names = append(names, tool.Name)
		result, err := session.CallTool(ctx, &mcp.CallToolParams{Name: tool.Name, Arguments: calls[tool.Name]})
		if err != nil {
			log.Fatal(err)
		}
		failed[tool.Name] = nil
		if content, ok := result.StructuredContent.(map[string]any); ok {
			failed[tool.Name] = content["error"]
		}
	}
	told := map[string]any{"revision": session.InitializeResult().ProtocolVersion, "tools": names, "failed": failed}
	text, _ := json.Marshal(told)
	fmt.Println(string(text))
}
