"""The fields of Ollama's request types, v0.33, as Go's `encoding/json` reads them: by table, `file type: fields`."""

from __future__ import annotations

from collections.abc import Mapping

OLLAMA: Mapping[str, str] = {
    "NativeChat": "api/types.go ChatRequest: model messages stream format keep_alive tools options think truncate "
    "shift _debug_render_only logprobs top_logprobs",
    "NativeGenerate": "api/types.go GenerateRequest: model prompt suffix system template context stream raw format "
    "keep_alive images options think truncate shift _debug_render_only logprobs top_logprobs",
    "NativeEmbed": "api/types.go EmbedRequest: model input keep_alive truncate dimensions options",
    "NativeEmbeddings": "api/types.go EmbeddingRequest: model prompt keep_alive options",
    "NativeShow": "api/types.go ShowRequest: model system template verbose options name",
    "NativeOptions": "api/types.go Options: num_ctx num_batch num_gpu main_gpu use_mmap num_thread draft_num_predict "
    "num_keep seed num_predict top_k top_p min_p typical_p repeat_last_n temperature repeat_penalty presence_penalty "
    "frequency_penalty stop",
    "NativeMessage": "api/types.go Message: role content thinking images tool_calls tool_name tool_call_id",
    "NativeToolCall": "api/types.go ToolCall: id function",
    "NativeCalledFunction": "api/types.go ToolCallFunction: index name arguments",
    "Tool": "api/types.go Tool: type items function",
    "Function": "api/types.go ToolFunction: name description parameters",
    "OpenAIChat": "openai/openai.go ChatCompletionRequest: model messages stream stream_options max_tokens seed stop "
    "temperature frequency_penalty presence_penalty top_p response_format tools reasoning reasoning_effort logprobs "
    "top_logprobs _debug_render_only",
    "OpenAICompletions": "openai/openai.go CompletionRequest: model prompt frequency_penalty max_tokens "
    "presence_penalty seed stop stream stream_options temperature top_p suffix logprobs _debug_render_only",
    "OpenAIEmbeddings": "openai/openai.go EmbedRequest: input model dimensions encoding_format",
    "OpenAIMessage": "openai/openai.go Message: role content reasoning tool_calls name tool_call_id",
    "OpenAIToolCall": "openai/openai.go ToolCall: id index type function",
    "OpenAICalledFunction": "openai/openai.go ToolCall.Function: name arguments",
    "OpenAIStreamOptions": "openai/openai.go StreamOptions: include_usage",
    "OpenAIReasoning": "openai/openai.go Reasoning: effort",
    "OpenAIJsonSchema": "openai/openai.go JsonSchema: schema",
    "ResponsesRequest": "openai/responses.go ResponsesRequest: model background conversation include input "
    "instructions max_output_tokens reasoning temperature text top_p truncation tools stream",
    "ResponsesReasoning": "openai/responses.go ResponsesReasoning: effort generate_summary summary",
    "ResponsesText": "openai/responses.go ResponsesText: format",
    "ResponsesJsonSchema": "openai/responses.go ResponsesTextFormat: name schema strict",
    "ResponsesFunction": "openai/responses.go ResponsesTool: name description strict parameters",
    "ResponsesMessage": "openai/responses.go ResponsesInputMessage: role content",
    "ResponsesFunctionCall": "openai/responses.go ResponsesFunctionCall: id call_id name arguments",
    "ResponsesFunctionCallOutput": "openai/responses.go ResponsesFunctionCallOutput: call_id output",
    "ResponsesReasoningItem": "openai/responses.go ResponsesReasoningInput: id summary encrypted_content",
    "AnthropicMessages": "anthropic/anthropic.go MessagesRequest: model max_tokens messages system stream temperature "
    "top_p top_k stop_sequences tools tool_choice thinking metadata output_config",
    "AnthropicMessage": "anthropic/anthropic.go MessageParam: role content",
    "AnthropicThinkingConfig": "anthropic/anthropic.go ThinkingConfig: type budget_tokens",
    "AnthropicOutputConfig": "anthropic/anthropic.go OutputConfig: effort",
    "AnthropicTool": "anthropic/anthropic.go Tool: name description input_schema max_uses",
}
IGNORED_BY_OLLAMA: Mapping[str, str] = {
    "NativeChat": "temperature max_output_tokens tool_choice",
    "OpenAIChat": "max_completion_tokens n tool_choice parallel_tool_calls logit_bias user store metadata service_tier",
    "OpenAICompletions": "max_completion_tokens n best_of echo logit_bias user",
    "OpenAIEmbeddings": "user",
    "Function": "strict",
    "ResponsesRequest": "previous_response_id store tool_choice parallel_tool_calls metadata service_tier user",
    "ResponsesFunction": "strict",
    "AnthropicMessages": "service_tier",
}
"""Fields that clients send although Ollama knows nothing of them, or not there."""
