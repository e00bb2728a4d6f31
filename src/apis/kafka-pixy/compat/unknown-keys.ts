import { suggestion } from '../../../core/settings/suggestion.js'
import { CLUSTER_KEYS, PROCESS_KEYS } from './keys.js'
import { isSection, type Section, sectionOf } from './section.js'

const OF_FILE = [
  'tcp_addr',
  'unix_addr',
  'grpc_addr',
  'default_cluster',
  'proxies',
  'logging',
  'tls.certificate_path',
  'tls.key_path'
]

const OF_CLUSTER = [
  ...[...CLUSTER_KEYS, ...PROCESS_KEYS].map(({ path }) => path),
  'net.sasl.enable',
  'net.sasl.user',
  'net.sasl.password'
]

/**
 * A line for each key of the file that Kafka-Pixy does not know, with the key that was probably meant. Kafka-Pixy itself
 * passes over such keys without a word, so none of them keeps the process from starting.
 */
export function unknownKeys(file: Section): string[] {
  const notes = unknownBelow(file, OF_FILE, '', '')
  for (const [name, cluster] of Object.entries(sectionOf(file.proxies))) {
    if (isSection(cluster)) notes.push(...unknownBelow(cluster, OF_CLUSTER, `proxies.${name}.`, ''))
  }
  return notes
}

/** @param inside where the section is within what `known` is about, with a dot at its end; empty at the top */
function unknownBelow(section: Section, known: readonly string[], prefix: string, inside: string): string[] {
  const siblings = known.filter(path => path.startsWith(inside)).map(path => path.slice(inside.length).split('.')[0]!)
  return Object.entries(section).flatMap(([key, value]) => {
    const path = inside + key
    if (!siblings.includes(key)) {
      return [`${prefix}${path} is no setting of Kafka-Pixy and is ignored${suggestion(key, [...new Set(siblings)])}`]
    }
    const hasKeysOfItsOwn = known.some(name => name.startsWith(`${path}.`))
    return hasKeysOfItsOwn && isSection(value) ? unknownBelow(value, known, prefix, `${path}.`) : []
  })
}
