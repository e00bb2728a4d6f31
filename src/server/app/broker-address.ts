import { ConfigError } from '../../core/errors.js'
import type { BrokerAddress } from '../../core/model.js'
import { printable } from '../../core/printable.js'

/**
 * `kafka-1:9092` => `{host: 'kafka-1', port: 9092}`; the brackets of an IPv6 host are removed.
 *
 * @throws ConfigError for anything else
 */
export function toBrokerAddress(text: string): BrokerAddress {
  const [, host, port] = text.trim().match(/^([^@/]+):(\d{1,5})$/) ?? []
  if (host === undefined || Number(port) > 65_535) throw new ConfigError(`write brokers as HOST:PORT${notAs(text)}`)
  return { host: host.replace(/^\[|\]$/g, ''), port: Number(port) }
}

/** A text with an @ may hold a user name and password, so it is not repeated. */
const notAs = (text: string): string => (text.includes('@') ? ', without a user name' : `, not "${printable(text)}"`)
