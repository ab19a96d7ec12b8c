/** The `data` of every server-sent event of an answer. Events that are not one `data` line throw. */
export async function readEvents(response: Response): Promise<string[]> {
  const text = await response.text();
  if (!text.endsWith('\n\n')) throw new Error(`the stream ends within an event: ${text.slice(-80)}`);
  return text
    .slice(0, -2)
    .split('\n\n')
    .map((event) => {
      const [, data] = /^data: (.*)$/.exec(event) ?? [];
      if (data === undefined) throw new Error(`not an event: ${event}`);
      return data;
    });
}
