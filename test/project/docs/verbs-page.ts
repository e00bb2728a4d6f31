import { writeFileSync } from 'node:fs'
import { pathToFileURL } from 'node:url'
import { VERB_FACTS, type VerbFacts, type VerbPath } from '../../../src/verbs/facts.js'
import { endpoints } from '../../apis/endpoints.js'

const HEAD = `# What is true of each verb

For those who review the gateway. A verb is one thing that a client can ask for, by whichever API, command or program it comes. What is true of it is written down once, in
\`src/verbs/facts.ts\`, and tests hold every endpoint to it. \`npm run docs\` writes this page.

- **Waits**: clients may say how long the answer may take, and a request that takes that long is not logged as slow.
- **Answers**: \`records\` are counted in \`advanced.http.answersMaxBytes\` until they have left; \`small\` ones have none.
- **Isolation**: whose isolation counts for the records that it gives: \`setting\` that of \`router.isolationLevel\`, \`group\` that of the share group.
- **Rights**: those of [access rules](../authentication.md#authorization) that a client needs, and for what. An endpoint asks for those whose target its request names.
  *filters*: a client without it is not refused; the answer leaves out what it is about. *suffices*: a client with it needs none of the others.
- **Trouble**: the [kinds](../status.md#kinds-of-trouble) that tell operators when the verb cannot do its work.
- **Endpoints**: operations of \`/openapi.json\`; those of a cluster's own path are left out.

| verb | waits | answers | isolation | rights | command | trouble | endpoints |
|---|---|---|---|---|---|---|---|
`

const code = (texts: Iterable<string>): string => [...texts].map(text => `\`${text}\``).join(', ')

function rowOf([verb, facts]: readonly [string, VerbFacts]): string {
  const { waits, answers, isolation = '', effects, command, troubles } = facts
  const own = endpoints.filter(({ operation }) => operation.verb === (verb as VerbPath)).map(({ name }) => name)
  const cells = [
    code([verb]),
    waits === 'asked' ? 'yes' : '',
    answers,
    isolation,
    effects.map(([right, target, how]) => `\`${right}\`: ${target}${how === undefined ? '' : ` (${how})`}`).join('; '),
    typeof command === 'string' ? code([`castellan ${command}`]) : command.none,
    code(troubles),
    code(own.filter(name => !name.endsWith('OfCluster')))
  ]
  return `| ${cells.join(' | ')} |`
}

/** docs/develop/verbs.md, made of the facts of the verbs. */
export const verbsPage = (): string => `${HEAD}${Object.entries<VerbFacts>(VERB_FACTS).map(rowOf).join('\n')}\n`

if (import.meta.url === pathToFileURL(process.argv[1]!).href) writeFileSync('docs/develop/verbs.md', verbsPage())
