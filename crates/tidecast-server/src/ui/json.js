// Lays out and colours JSON. The text is split into tokens and not parsed into values, so that `1.10` stays `1.10` and long
// numbers keep their digits.

const TOKEN = /"(?:[^"\\]|\\.)*"|[{}[\],:]|[^\s{}[\],:"]+/g;
const CHARS_MAX = 20_000;
const LINE_CHARS_MAX = 72;

/** Shows data in an element: laid out if it is a JSON object or array, else as it is; truncated if it is very long. */
export function show(element, data) {
  if (data.length > CHARS_MAX) {
    const more = (data.length - CHARS_MAX).toLocaleString("en");
    element.textContent = `${data.slice(0, CHARS_MAX)}\n… and ${more} characters more`;
  } else if (isJson(data)) {
    element.append(...layOut(data.match(TOKEN)));
  } else {
    element.textContent = data;
  }
}

function isJson(data) {
  if (!/^\s*[[{]/.test(data)) return false;
  try {
    JSON.parse(data);
    return true;
  } catch {
    return false;
  }
}

// Short objects stay on one line, or a list of them would be mostly braces.
function layOut(tokens) {
  const parts = [];
  const isInLine = [];
  const newLine = () => (isInLine.at(-1) ? " " : `\n${"  ".repeat(isInLine.length)}`);
  tokens.forEach((token, index) => {
    const isEmpty = /^[{[]$/.test(tokens[index - 1]);
    if (/^[{[]$/.test(token)) {
      const isNextEmpty = /^[}\]]$/.test(tokens[index + 1]);
      isInLine.push(isInLine.at(-1) || isShort(tokens, index));
      parts.push(isNextEmpty ? token : token + newLine());
    } else if (/^[}\]]$/.test(token)) {
      const wasInLine = isInLine.pop();
      parts.push(isEmpty ? token : (wasInLine ? " " : newLine()) + token);
    } else if (token === ",") parts.push(token + newLine());
    else if (token === ":") parts.push(": ");
    else parts.push(coloured(token, tokens[index + 1] === ":"));
  });
  return parts;
}

/** Returns whether the object or array that begins at a token fits into a line. */
function isShort(tokens, begin) {
  let chars = 0;
  let depth = 0;
  for (let index = begin; chars <= LINE_CHARS_MAX; index++) {
    chars += tokens[index].length + 1;
    if (/^[{[]$/.test(tokens[index])) depth++;
    else if (/^[}\]]$/.test(tokens[index]) && --depth === 0) return chars <= LINE_CHARS_MAX;
  }
  return false;
}

function coloured(token, isName) {
  const part = document.createElement("span");
  part.className = isName ? "name" : token.startsWith('"') ? "string" : "value";
  part.textContent = token;
  return part;
}
