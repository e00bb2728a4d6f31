import { closeSync, fsyncSync, openSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { InvalidArgumentError } from 'commander'
import { makeDirectory } from '../core/files/make-directory.js'
import { isLegalTopicName } from '../core/model.js'
import { codeOf } from '../core/node-errors.js'
import type { ConfigSources, ExplainedConfig, FlagSetting } from '../server/config/config.js'
import { secretVariable } from '../webhooks/definitions.js'
import { newSecret } from '../webhooks/endpoint/signature.js'
import { CommandError, UsageError } from './command.js'

/** A webhook that `--webhook TOPIC=URL` names. */
interface NamedWebhook {
  readonly name: string
  readonly topic: string
  readonly url: string
}

const NAME = /^[a-z0-9][a-z0-9-]{0,62}$/

/**
 * Reads one more `--webhook`. Its name is that of the topic: `Shop_Orders=http://…` => `shop-orders`.
 *
 * @throws UsageError when two of them have the same name
 */
export function webhookFlag(text: string, former: readonly NamedWebhook[] = []): readonly NamedWebhook[] {
  const [, topic = '', url = ''] = /^([^=]*)=(.+)$/s.exec(text) ?? []
  if (!isLegalTopicName(topic) || url === '')
    throw new InvalidArgumentError('TOPIC=URL, such as orders=http://127.0.0.1:9000/')
  const name = topic.toLowerCase().replace(/[^a-z0-9]/g, '-')
  if (!NAME.test(name))
    throw new InvalidArgumentError(
      `no name for a webhook of topic ${topic}: define it in a file (webhooks.definitions)`
    )
  const other = former.find(one => one.name === name)
  if (other !== undefined)
    throw new UsageError(
      `--webhook: the topics ${other.topic} and ${topic} both give the name ${name}; define one of them in a file (webhooks.definitions)`
    )
  return [...former, { name, topic, url }]
}

const flagsOf = ({ name, topic, url }: NamedWebhook): FlagSetting[] =>
  Object.entries({ topic, url }).map(([member, value]) => ({
    flag: '--webhook',
    path: ['webhooks', 'definitions', name, member],
    value
  }))

/**
 * Adds the webhooks of `--webhook`. For each that has no secret one is made, and kept where records are kept: in the directory of
 * the embedded broker, or the one that `wal.directory` names.
 *
 * @param isTried nothing is kept, nor said
 * @param say tells a secret
 * @throws CommandError when a secret cannot be kept
 */
export async function withWebhooks(
  sources: ConfigSources & { readonly flags: readonly FlagSetting[] },
  webhooks: readonly NamedWebhook[],
  isTried: boolean,
  say: (line: string) => void
): Promise<ConfigSources> {
  if (webhooks.length === 0) return sources
  const { explainConfig } = await import('../server/config/config.js')
  const flags = [...sources.flags, ...webhooks.flatMap(flagsOf)]
  const given = explainConfig({ ...sources, flags, role: 'client' })
  const directory = isTried ? undefined : directoryOf(given)
  const environment = { ...sources.environment }
  for (const { name } of webhooks) {
    const variable = secretVariable(name)
    if ((environment[variable] ?? '') !== '') continue
    if (given.config.webhooks.definitions[name]?.secretFile !== undefined) continue
    const secret = newSecret()
    const kept = directory === undefined ? undefined : keep(directory, name, secret)
    if (kept === undefined) environment[variable] = secret
    else flags.push({ flag: '--webhook', path: ['webhooks', 'definitions', name, 'secretFile'], value: kept.path })
    if (!isTried && kept?.isNew !== false)
      say(`webhook ${name}: its secret is ${secret}${kept === undefined ? '' : `, kept in ${kept.path}`}`)
  }
  return { ...sources, environment, flags }
}

/** @returns `undefined`: nothing that is kept outlives the process */
function directoryOf({ config: { embedded, wal }, originOf }: ExplainedConfig): string | undefined {
  if (embedded.directory !== undefined) return embedded.directory
  return originOf(['wal', 'directory']) === 'default' ? undefined : wal.directory
}

/** Keeps a secret, unless there is one of the same name. Only its owner can read the file. */
function keep(directory: string, name: string, secret: string): { readonly path: string; readonly isNew: boolean } {
  const path = join(directory, 'webhooks', `${name}.secret`)
  try {
    makeDirectory(join(directory, 'webhooks'))
    const descriptor = openSync(path, 'wx', 0o600)
    try {
      writeSync(descriptor, `${secret}\n`)
      fsyncSync(descriptor)
    } finally {
      closeSync(descriptor)
    }
    return { path, isNew: true }
  } catch (error) {
    if (codeOf(error) === 'EEXIST') return { path, isNew: false }
    throw new CommandError(`--webhook: cannot keep the secret in ${path} (${codeOf(error)})`)
  }
}
