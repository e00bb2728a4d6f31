/** More than any issuer's key set has; stops a wrong address that answers without end. */
const MAX_BYTES = 1024 * 1024

/** Fetches a JSON Web Key Set. Redirects are refused: only the configured address is trusted. */
export async function fetchKeys(url: string, timeoutMs: number): Promise<unknown> {
  const signal = AbortSignal.timeout(timeoutMs)
  const response = await fetch(url, { signal, redirect: 'error', headers: { accept: 'application/json' } })
  if (!response.ok) {
    await response.body?.cancel()
    throw new Error(`the server answered ${response.status}`)
  }
  const chunks: Uint8Array[] = []
  let sizeBytes = 0
  for await (const chunk of response.body ?? []) {
    sizeBytes += (chunk as Uint8Array).length
    if (sizeBytes > MAX_BYTES) throw new Error(`the answer is larger than ${MAX_BYTES} bytes`)
    chunks.push(chunk as Uint8Array)
  }
  return JSON.parse(Buffer.concat(chunks).toString('utf8'))
}
