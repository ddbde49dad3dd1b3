"""Every client dialect over every provider dialect, through a real gateway.

`spoken` has the nouns. Each dialect has a module with the same five functions, written from the APIs' own documents and
without a line of the gateway: `ask` and `asked` write and read a question, `tell` and `heard` write and read an answer
(whole, or as a stream whose order is checked), `refuse` writes a refusal. A table of conversations crosses all of them.
"""
