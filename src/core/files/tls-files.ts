import { readFileSync } from 'node:fs'
import { ConfigError } from '../errors.js'
import { codeOf } from '../node-errors.js'

/** The name of a file for messages. It is left out when it looks like the content of a key file. */
const nameOf = (fileName: string): string =>
  /-----|\s/.test(fileName) ? 'the file; write its name here, not its content' : fileName

/** Names of files in PEM: the authorities of the other side, the own certificate, and its key. */
export interface TlsFiles {
  readonly caFile?: string | undefined
  readonly certFile?: string | undefined
  readonly keyFile?: string | undefined
}

/**
 * Reads the files of TLS settings.
 *
 * @param section the section with the settings, for messages
 * @throws ConfigError naming the setting whose file cannot be read
 */
export function readTlsFiles(
  section: string,
  { caFile, certFile, keyFile }: TlsFiles
): Readonly<Record<'ca' | 'cert' | 'key', string | undefined>> {
  const read = (setting: string, fileName: string | undefined): string | undefined => {
    if (fileName === undefined) return undefined
    try {
      return readFileSync(fileName, 'utf8')
    } catch (error) {
      throw unreadable(`${section}.${setting}`, fileName, error)
    }
  }
  return { ca: read('caFile', caFile), cert: read('certFile', certFile), key: read('keyFile', keyFile) }
}

/** Names the setting, and the file unless it may be the content of a key. */
export const unreadable = (setting: string, fileName: string, error: unknown): ConfigError =>
  new ConfigError(`${setting}: cannot read ${nameOf(fileName)} (${codeOf(error)})`)
