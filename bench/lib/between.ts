/** The page with what stands between the marks of this name written anew; the rest is prose, and stays. */
export function between(page: string, mark: string, content: string): string {
  const [start, end] = [`<!-- ${mark} -->`, `<!-- /${mark} -->`];
  const [before, rest] = page.split(start);
  const after = rest?.split(end)[1];
  if (after === undefined) throw new Error(`The page lacks ${start} … ${end}.`);
  return `${before}${start}\n\n${content}\n${end}${after}`;
}
