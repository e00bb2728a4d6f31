const KEY = 'castellan-authorization'

/** The value of `Authorization`, kept for this tab until it is closed. */
export const credentials = {
  get: (): string | null => sessionStorage.getItem(KEY),
  set: (authorization: string): void => sessionStorage.setItem(KEY, authorization),
  forget: (): void => sessionStorage.removeItem(KEY)
}

export const bearer = (token: string): string => `Bearer ${token.trim()}`

/** Names and passwords are UTF-8, as the challenge of the gateway says. */
export const basic = (user: string, password: string): string =>
  `Basic ${btoa(String.fromCharCode(...new TextEncoder().encode(`${user}:${password}`)))}`
