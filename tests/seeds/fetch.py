"""The JavaScript that aiapi.services' page prints, as it stands, and how it is put into a function to run."""

from __future__ import annotations

import json

CONVERSATION = """
const messages = [ { role: 'system', content: 'You are a helpful AI assistant.' },
 { role: 'user', content: 'What is machine learning?' },
 { role: 'assistant', content: 'Machine learning is a branch of artificial intelligence...' },
 { role: 'user', content: 'What are its applications?' } // New question based on context
];
const response = await fetch('https://aiapi.services/v1/chat/completions', { method: 'POST',
 headers: { 'Authorization': 'Bearer YOUR_API_KEY', 'Content-Type': 'application/json' },
 body: JSON.stringify({ model: 'gemini-2.5-flash', messages: messages }) });
"""
USAGE = """
const data = await response.json();
console.log(`Used ${data.usage.total_tokens} tokens`);
console.log(`Prompt: ${data.usage.prompt_tokens}, Completion: ${data.usage.completion_tokens}`);
"""
ERRORS = """
try { const response = await fetch('https://aiapi.services/v1/chat/completions', { method: 'POST',
 headers: { 'Authorization': 'Bearer YOUR_API_KEY', 'Content-Type': 'application/json' },
 body: JSON.stringify({ model: 'gemini-2.5-flash', messages: [{role: 'user', content: 'Hello'}] }) });
 if (!response.ok) { const error = await response.json(); console.error('API Error:', error.error.message); return; }
 const data = await response.json(); console.log(data.choices[0].message.content);
} catch (error) { console.error('Network Error:', error); }
"""
#: The page leaves the request out ("... request configuration"); it is the one of its other examples.
RETRIES = """
async function callWithRetry(maxRetries = 3) { for (let i = 0; i < maxRetries; i++) { try {
 const response = await fetch('https://aiapi.services/v1/chat/completions', { method: 'POST',
 headers: { 'Authorization': 'Bearer YOUR_API_KEY', 'Content-Type': 'application/json' },
 body: JSON.stringify({ model: 'gemini-2.5-flash', messages: [{role: 'user', content: 'Hello'}] }) });
 if (response.ok) { return await response.json(); }
 if (response.status === 429 || response.status >= 500) {
 const delay = Math.pow(2, i) * 1000; // Exponential backoff
 await new Promise(resolve => setTimeout(resolve, delay)); continue; }
 throw new Error(`HTTP ${response.status}`);
 } catch (error) { if (i === maxRetries - 1) throw error; } } }
"""


def body_of(snippet: str) -> str:
    """An async function's body that runs a snippet and returns what it wrote to its console, a line each."""
    heard = "const heard = []; const hear = (...said) => heard.push(said.join(' '));"
    console = "const console = { log: hear, error: hear };"
    return f"{heard}\n{console}\nawait (async () => {{ {snippet} }})();\nreturn heard;"


def asking(snippet: str, model: str) -> str:
    """A snippet that asks for another model, such as one that fails."""
    return snippet.replace("'gemini-2.5-flash'", json.dumps(model))
