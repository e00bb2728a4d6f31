import type { MarkdownEnv } from 'vitepress'

interface Markdown {
  render(source: string, env: MarkdownEnv): string
}

/**
 * The questions of docs/README.md by the place that answers them: `operations.md#how-large-a-machine`. A reader types
 * words of the question, which its answer need not have.
 */
export function questionsIn(readme: string): ReadonlyMap<string, readonly string[]> {
  const questions = new Map<string, string[]>()
  for (const line of readme.split('\n')) {
    const [, question = ''] = /^\| (.+?) \|/.exec(line) ?? []
    for (const [, text, place] of line.matchAll(/\[([^\]]+)\]\(([^)]+\.md(?:#[\w-]+)?)\)/g)) {
      questions.set(place!, [...(questions.get(place!) ?? []), `${question} ${text}`])
    }
  }
  return questions
}

/** A page as the search reads it: the questions stand below the headings of their answers. */
export function rendererOf(questions: ReadonlyMap<string, readonly string[]>) {
  return (source: string, env: MarkdownEnv, markdown: Markdown): string => {
    const page = env.relativePath.replace(/(^|\/)index\.md$/, '$1README.md')
    return markdown.render(source, env).replace(/<h([1-6]) id="([^"]+)"[\s\S]*?<\/h\1>/g, (heading, level, id) => {
      const asked = questions.get(level === '1' ? page : `${page}#${id}`) ?? []
      return `${heading}<p>${asked.join(' ')}</p>`
    })
  }
}

/**
 * Options of MiniSearch. They run in the browser as texts, so each function has all that it needs.
 */
export const searchOptions = {
  options: {
    processTerm: (term: string): string | null => {
      const word = term.toLowerCase()
      const little =
        /^(?:a|an|and|are|at|be|by|can|do|for|from|how|i|if|in|is|it|its|me|my|of|on|or|our|that|the|to|what|when|where|which|while|who|with|without)$/
      return word.length === 1 || little.test(word) ? null : word
    }
  },
  searchOptions: {
    // The last word may not be whole yet.
    prefix: (_term: string, index: number, terms: readonly string[]): boolean => index === terms.length - 1,
    fuzzy: (term: string): number | false => (term.length > 5 ? 0.2 : false),
    // What developers and upgraders look for comes behind what is there for everyone.
    boostDocument: (id: string): number => (/\/(?:develop\/|changelog|upgrading)/.test(id) ? 0.3 : 1)
  }
}
