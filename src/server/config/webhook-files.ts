import { MIB } from '../../core/bytes.js'
import { readRegularFile } from '../../core/files/regular-file.js'
import { recordHeaderProblem } from '../../http/exchange/record-headers.js'
import { readWebhookFiles, type WebhookFiles } from '../../webhooks/definitions.js'
import type { Config } from './schema.js'

/** Headers of the signature. */
const OF_SIGNATURE = /^webhook-/i

/** Larger than the file of all authorities of a system. */
const MAX_FILE_BYTES = MIB

/** Reads the files that the settings of webhooks name, and finds problems with them. Called at the start and at SIGHUP. */
export function webhookFilesOf(
  { webhooks, clusters }: Config,
  environment: Readonly<Record<string, string | undefined>>
): { readonly files: WebhookFiles; readonly problems: readonly string[] } {
  const readFile = (path: string): string => readRegularFile(path, MAX_FILE_BYTES)
  const { problems, ...files } = readWebhookFiles(webhooks, { environment, readFile, clusters: Object.keys(clusters) })
  const ofHeaders = webhooks.recordHeaders.flatMap((name, at) => {
    const problem = OF_SIGNATURE.test(name) ? `"${name}" is one of the signature` : recordHeaderProblem(name)
    return problem === undefined ? [] : [`webhooks.recordHeaders.${at}: ${problem}`]
  })
  return { files, problems: [...problems, ...ofHeaders] }
}
