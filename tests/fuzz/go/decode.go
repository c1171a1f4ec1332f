// Decodes request bodies as Ollama does, with Go's own encoding/json, and prints what it sees.
//
// The types have the fields, names and types of Ollama v0.33: api/types.go, openai/openai.go, openai/responses.go,
// anthropic/anthropic.go. Where Ollama looks into a part by hand, the part is a struct here as well, which folds case
// where Ollama may not: the stricter reading of the two.
//
// In: for each batch a line with the number of bodies, then for each body a line "path length" and its bytes.
// With the argument "folds" it prints Go's table of case folding instead.
// Out: for each body one line of JSON: {"error": "", "seen": {...}}; the error is "syntax" or "type".
package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"unicode"
)

type Function struct {
	Name        string          `json:"name"`
	Description string          `json:"description"`
	Parameters  json.RawMessage `json:"parameters"`
}

type Tool struct {
	Type     string   `json:"type"`
	Items    any      `json:"items"`
	Function Function `json:"function"`
}

type NativeToolCall struct {
	ID       string `json:"id"`
	Function struct {
		Index     int            `json:"index"`
		Name      string         `json:"name"`
		Arguments map[string]any `json:"arguments"`
	} `json:"function"`
}

type NativeMessage struct {
	Role       string           `json:"role"`
	Content    string           `json:"content"`
	Thinking   string           `json:"thinking"`
	Images     [][]byte         `json:"images"`
	ToolCalls  []NativeToolCall `json:"tool_calls"`
	ToolName   string           `json:"tool_name"`
	ToolCallID string           `json:"tool_call_id"`
}

type NativeShared struct {
	Model           string          `json:"model"`
	Stream          *bool           `json:"stream"`
	Format          json.RawMessage `json:"format"`
	KeepAlive       any             `json:"keep_alive"`
	Options         map[string]any  `json:"options"`
	Think           any             `json:"think"`
	Truncate        *bool           `json:"truncate"`
	Shift           *bool           `json:"shift"`
	DebugRenderOnly bool            `json:"_debug_render_only"`
	Logprobs        bool            `json:"logprobs"`
	TopLogprobs     int             `json:"top_logprobs"`
}

type NativeChat struct {
	NativeShared
	Messages []NativeMessage `json:"messages"`
	Tools    []Tool          `json:"tools"`
}

type NativeGenerate struct {
	NativeShared
	Prompt   string   `json:"prompt"`
	Suffix   string   `json:"suffix"`
	System   string   `json:"system"`
	Template string   `json:"template"`
	Context  []int    `json:"context"`
	Raw      bool     `json:"raw"`
	Images   [][]byte `json:"images"`
}

type NativeEmbed struct {
	Model      string         `json:"model"`
	Input      any            `json:"input"`
	KeepAlive  any            `json:"keep_alive"`
	Truncate   *bool          `json:"truncate"`
	Dimensions int            `json:"dimensions"`
	Options    map[string]any `json:"options"`
}

type NativeEmbeddings struct {
	Model     string         `json:"model"`
	Prompt    string         `json:"prompt"`
	KeepAlive any            `json:"keep_alive"`
	Options   map[string]any `json:"options"`
}

// Text is a text, or parts of one kind or another.
type Text struct {
	Plain string
	Parts []Part
}

type Part struct {
	Type     string `json:"type"`
	Text     string `json:"text"`
	ImageURL any    `json:"image_url"`
	Detail   string `json:"detail"`
	Source   *struct {
		Type      string `json:"type"`
		MediaType string `json:"media_type"`
		Data      string `json:"data"`
	} `json:"source"`
	ID        string          `json:"id"`
	Name      string          `json:"name"`
	Input     json.RawMessage `json:"input"`
	ToolUseID string          `json:"tool_use_id"`
	Content   *Text           `json:"content"`
	IsError   bool            `json:"is_error"`
	Thinking  string          `json:"thinking"`
	Signature string          `json:"signature"`
}

func (text *Text) UnmarshalJSON(octets []byte) error {
	if len(octets) > 0 && octets[0] == '[' {
		return json.Unmarshal(octets, &text.Parts)
	}
	return json.Unmarshal(octets, &text.Plain)
}

type OpenAIMessage struct {
	Role      string `json:"role"`
	Content   *Text  `json:"content"`
	Reasoning string `json:"reasoning"`
	ToolCalls []struct {
		ID       string `json:"id"`
		Index    int    `json:"index"`
		Type     string `json:"type"`
		Function struct {
			Name      string `json:"name"`
			Arguments string `json:"arguments"`
		} `json:"function"`
	} `json:"tool_calls"`
	Name       string `json:"name"`
	ToolCallID string `json:"tool_call_id"`
}

type OpenAIShared struct {
	Model         string `json:"model"`
	Stream        bool   `json:"stream"`
	StreamOptions *struct {
		IncludeUsage bool `json:"include_usage"`
	} `json:"stream_options"`
	MaxTokens        *int     `json:"max_tokens"`
	Seed             *int     `json:"seed"`
	Stop             any      `json:"stop"`
	Temperature      *float64 `json:"temperature"`
	TopP             *float64 `json:"top_p"`
	FrequencyPenalty *float64 `json:"frequency_penalty"`
	PresencePenalty  *float64 `json:"presence_penalty"`
	DebugRenderOnly  bool     `json:"_debug_render_only"`
}

type OpenAIChat struct {
	OpenAIShared
	Messages       []OpenAIMessage `json:"messages"`
	ResponseFormat *struct {
		Type       string `json:"type"`
		JSONSchema *struct {
			Schema json.RawMessage `json:"schema"`
		} `json:"json_schema"`
	} `json:"response_format"`
	Tools     []Tool `json:"tools"`
	Reasoning *struct {
		Effort string `json:"effort"`
	} `json:"reasoning"`
	ReasoningEffort *string `json:"reasoning_effort"`
	Logprobs        *bool   `json:"logprobs"`
	TopLogprobs     int     `json:"top_logprobs"`
}

type OpenAICompletions struct {
	OpenAIShared
	Prompt   string `json:"prompt"`
	Suffix   string `json:"suffix"`
	Logprobs *int   `json:"logprobs"`
}

type OpenAIEmbeddings struct {
	Model          string `json:"model"`
	Input          any    `json:"input"`
	Dimensions     int    `json:"dimensions"`
	EncodingFormat string `json:"encoding_format"`
}

type ResponsesItem struct {
	Type      string `json:"type"`
	ID        string `json:"id"`
	Role      string `json:"role"`
	Content   *Text  `json:"content"`
	CallID    string `json:"call_id"`
	Name      string `json:"name"`
	Arguments string `json:"arguments"`
	Output    *Text  `json:"output"`
	Summary   []Part `json:"summary"`
	Encrypted string `json:"encrypted_content"`
}

type ResponsesInput struct {
	Plain string
	Items []ResponsesItem
}

func (input *ResponsesInput) UnmarshalJSON(octets []byte) error {
	if len(octets) > 0 && octets[0] == '[' {
		return json.Unmarshal(octets, &input.Items)
	}
	return json.Unmarshal(octets, &input.Plain)
}

type Responses struct {
	Model           string          `json:"model"`
	Background      *bool           `json:"background"`
	Conversation    json.RawMessage `json:"conversation"`
	Include         []string        `json:"include"`
	Input           ResponsesInput  `json:"input"`
	Instructions    string          `json:"instructions"`
	MaxOutputTokens *int            `json:"max_output_tokens"`
	Reasoning       struct {
		Effort string `json:"effort"`
	} `json:"reasoning"`
	Temperature *float64 `json:"temperature"`
	TopP        *float64 `json:"top_p"`
	Text        *struct {
		Format *struct {
			Type   string          `json:"type"`
			Name   string          `json:"name"`
			Schema json.RawMessage `json:"schema"`
		} `json:"format"`
	} `json:"text"`
	Truncation *string `json:"truncation"`
	Tools      []struct {
		Type        string         `json:"type"`
		Name        string         `json:"name"`
		Description *string        `json:"description"`
		Parameters  map[string]any `json:"parameters"`
	} `json:"tools"`
	Stream *bool `json:"stream"`
}

type Messages struct {
	Model     string `json:"model"`
	MaxTokens int    `json:"max_tokens"`
	Messages  []struct {
		Role    string `json:"role"`
		Content Text   `json:"content"`
	} `json:"messages"`
	System        *Text    `json:"system"`
	Stream        bool     `json:"stream"`
	Temperature   *float64 `json:"temperature"`
	TopP          *float64 `json:"top_p"`
	TopK          *int     `json:"top_k"`
	StopSequences []string `json:"stop_sequences"`
	Tools         []struct {
		Type        string          `json:"type"`
		Name        string          `json:"name"`
		Description string          `json:"description"`
		InputSchema json.RawMessage `json:"input_schema"`
	} `json:"tools"`
	Thinking *struct {
		Type         string `json:"type"`
		BudgetTokens int    `json:"budget_tokens"`
	} `json:"thinking"`
	OutputConfig *struct {
		Effort string `json:"effort"`
	} `json:"output_config"`
}

var requests = map[string]func() any{
	"/api/chat":            func() any { return new(NativeChat) },
	"/api/generate":        func() any { return new(NativeGenerate) },
	"/api/embed":           func() any { return new(NativeEmbed) },
	"/api/embeddings":      func() any { return new(NativeEmbeddings) },
	"/v1/chat/completions": func() any { return new(OpenAIChat) },
	"/v1/completions":      func() any { return new(OpenAICompletions) },
	"/v1/embeddings":       func() any { return new(OpenAIEmbeddings) },
	"/v1/responses":        func() any { return new(Responses) },
	"/v1/messages":         func() any { return new(Messages) },
}

type verdict struct {
	Error string `json:"error"`
	Seen  any    `json:"seen"`
}

// seen decodes as gin's ShouldBindJSON does: the first value, and nothing is asked of what follows.
func seen(path string, body []byte) verdict {
	request := requests[path]()
	err := json.NewDecoder(bytes.NewReader(body)).Decode(request)
	var syntax *json.SyntaxError
	switch {
	case err == nil:
		return verdict{Seen: request}
	case errors.As(err, &syntax) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF):
		return verdict{Error: "syntax"}
	default:
		return verdict{Error: "type", Seen: request}
	}
}

// folds prints each character that folds to another, and the smallest it folds to, as encoding/json's foldRune finds it.
func folds(out *bufio.Writer) {
	for r := rune(0); r <= unicode.MaxRune; r++ {
		least := r
		for next := unicode.SimpleFold(r); next != r; next = unicode.SimpleFold(next) {
			least = min(least, next)
		}
		if least != r {
			fmt.Fprintln(out, r, least)
		}
	}
	out.Flush()
}

func main() {
	if len(os.Args) > 1 && os.Args[1] == "folds" {
		folds(bufio.NewWriter(os.Stdout))
		return
	}
	in, out := bufio.NewReaderSize(os.Stdin, 1<<20), bufio.NewWriterSize(os.Stdout, 1<<20)
	type question struct {
		path string
		body []byte
	}
	for {
		var count int
		if _, err := fmt.Fscanf(in, "%d\n", &count); err != nil {
			return
		}
		questions := make([]question, count)
		for i := range questions {
			var length int
			if _, err := fmt.Fscanf(in, "%s %d\n", &questions[i].path, &length); err != nil {
				panic(err)
			}
			questions[i].body = make([]byte, length)
			if _, err := io.ReadFull(in, questions[i].body); err != nil {
				panic(err)
			}
		}
		for _, one := range questions {
			line, err := json.Marshal(seen(one.path, one.body))
			if err != nil {
				line = []byte(`{"error":"unprintable"}`)
			}
			out.Write(append(line, '\n'))
		}
		out.Flush()
	}
}
