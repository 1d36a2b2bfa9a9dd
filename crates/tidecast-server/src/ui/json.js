// JSON laid out and coloured. Its text is cut at its tokens and never read as values, so that `1.10` stays `1.10` and a
// long number keeps its digits.

const TOKEN = /"(?:[^"\\]|\\.)*"|[{}[\],:]|[^\s{}[\],:"]+/g;
const CHARS_MAX = 20_000;

/** Puts data into a place: laid out if it is a JSON object or array, else as it is; cut if it is very long. */
export function show(place, data) {
  if (data.length > CHARS_MAX) {
    const more = (data.length - CHARS_MAX).toLocaleString("en");
    place.textContent = `${data.slice(0, CHARS_MAX)}\n… and ${more} characters more`;
  } else if (isJson(data)) {
    place.append(...layOut(data.match(TOKEN)));
  } else {
    place.textContent = data;
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

function layOut(tokens) {
  const parts = [];
  let depth = 0;
  const newLine = () => `\n${"  ".repeat(depth)}`;
  tokens.forEach((token, index) => {
    const next = tokens[index + 1];
    if (token === "{" || token === "[") {
      const isEmpty = next === "}" || next === "]";
      depth++;
      parts.push(isEmpty ? token : token + newLine());
    } else if (token === "}" || token === "]") {
      const wasEmpty = ["{", "["].includes(tokens[index - 1]);
      depth--;
      parts.push(wasEmpty ? token : newLine() + token);
    } else if (token === ",") parts.push(token + newLine());
    else if (token === ":") parts.push(": ");
    else parts.push(coloured(token, next === ":"));
  });
  return parts;
}

function coloured(token, isName) {
  const part = document.createElement("span");
  part.className = isName ? "name" : token.startsWith('"') ? "string" : "value";
  part.textContent = token;
  return part;
}
